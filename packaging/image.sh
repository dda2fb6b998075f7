# The container image: one archive of the OCI image layout for all architectures.

image() {
    case " $FORMATS " in *" oci "*) ;; *) return ;; esac
    set --
    for arch in $ARCHES; do
        set -- "$@" --program "$arch=$work/$arch/certsd"
    done
    label() { echo "org.opencontainers.image.$1"; }
    echo "$IMAGE:$semver for $ARCHES"
    $GO run ./packaging/ociimage --output "$dist/certsd_${version}_oci.tar" --name "$IMAGE" --tag "$semver" "$@" \
        --label "$(label title)=certsd" \
        --label "$(label description)=client certificates for container registries, from certs.d directories" \
        --label "$(label version)=$semver" --label "$(label revision)=$revision" --label "$(label licenses)=Apache-2.0" \
        --label "$(label vendor)=The containerd-certsd authors" --label "$(label url)=$homepage" \
        --label "$(label source)=$homepage" --label "$(label documentation)=$homepage/tree/main/docs"
}
