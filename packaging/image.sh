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

# chart packages the chart: for the image of the same version.
chart() {
    case " $FORMATS " in *" oci "*) ;; *) return ;; esac
    mkdir -p "$work/chart"
    cp -RL packaging/helm/certsd "$work/chart/certsd"
    rm "$work/chart/certsd/.helmignore"
    cp LICENSE "$work/chart/certsd/"
    sed -i -e "s|^version: .*|version: $semver|" -e "s|^appVersion: .*|appVersion: $semver|" -e '/^# The versions of a package/d' "$work/chart/certsd/Chart.yaml"
    sed -i "s|^  repository: .*|  repository: $IMAGE|" "$work/chart/certsd/values.yaml"
    # Documents are where the sources are.
    sed -i "s|](\.\./\.\./\.\./|]($homepage/blob/$revision/|g; s|](\.\./\.\./|]($homepage/blob/$revision/packaging/|g" \
        "$work/chart/certsd/README.md" "$work/chart/certsd/values.schema.json"
    sed -i '/^<!--/d' "$work/chart/certsd/README.md"
    tar -C "$work/chart" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=ustar \
        --mode=u=rwX,go=rX -cf "$work/chart.tar" certsd
    gzip -9n <"$work/chart.tar" >"$dist/certsd-$semver.tgz"
    echo "chart certsd-$semver"
}
