# What goes where. A package is a list of files, one a line: mode, path, source,
# and, where not all formats have it, which ones do. It is made once for all
# formats.

# into MODE PATH SOURCE [FORMATS] adds a file to the package.
into() {
    echo "$1 $2 $3 ${4:-deb rpm apk tar}" >>"$list"
}

# keep is into for a configuration file, which an upgrade leaves as it is.
keep() {
    echo "config $2 $3 ${4:-deb rpm apk tar}" >>"$list"
}

# directory adds a directory that belongs to the package.
directory() {
    echo "dir $1 - ${2:-deb rpm apk tar}" >>"$list"
}

# begin NAME ARCH starts a package.
begin() {
    name=$1 arch=$2 stage=$work/stage/$2/$1
    mkdir -p "$stage"
    list=$stage/list
    : >"$list"
}

# common adds what every package has.
common() {
    doc=/usr/share/doc/$name
    sed "s/@YEAR@/$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y)/" packaging/deb/copyright >"$stage/copyright"
    printf '%s (%s-1) stable; urgency=medium\n\n  * %s\n\n -- %s  %s\n' "$name" "$version" \
        "Release $source: the changes are in the notes of the release." "$maintainer" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")" |
        gzip -9n >"$stage/changelog.gz"
    printf -- '- semver: "%s-1"\n  date: %s\n  packager: %s\n  changes:\n    - note: "Release %s: the changes are in the notes of the release."\n' "$version" \
        "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)" "$maintainer" "$source" >"$stage/changelog.yaml"
    into 644 "$doc/copyright" "$stage/copyright"
    into 644 "$doc/changelog.Debian.gz" "$stage/changelog.gz" deb
    into 644 "$doc/LICENSE" LICENSE "rpm apk tar"
    if [ -e "packaging/deb/${name%-[0-9]*}.lintian-overrides" ]; then
        sed "s/@NAME@/$name/" "packaging/deb/${name%-[0-9]*}.lintian-overrides" >"$stage/overrides"
        into 644 "/usr/share/lintian/overrides/$name" "$stage/overrides" deb
    fi
}

maintainer="containerd-certsd maintainers <containerd-certsd@users.noreply.github.com>"
homepage=https://github.com/certsd/containerd-certsd

# stage_certsd ARCH makes the packages of the command and of its two services.
stage_certsd() {
    begin certsd "$1"
    into 755 /usr/bin/certsd "$work/$arch/certsd"

    # Whoever has a package changes a file in /etc, not a unit.
    sed -e 's|^root = .*|root = "/etc/certsd/certs.d:/etc/docker/certs.d"|' \
        -e '1s|.*|# certsd gateway --config /etc/certsd/gateway.toml, as certsd-gateway.service does|' \
        gateway.toml.example >"$stage/gateway.toml"
    sed -e 's|^containerd_config = .*|containerd_config = "/etc/containerd/config.toml"|' \
        -e '1s|.*|# certsd cri --config /etc/certsd/cri.toml, as certsd-cri.service does|' \
        cri.toml.example >"$stage/cri.toml"
    directory /etc/certsd
    directory /etc/certsd/certs.d
    keep 644 /etc/certsd/gateway.toml "$stage/gateway.toml"
    keep 644 /etc/certsd/cri.toml "$stage/cri.toml"
    for service in gateway cri; do
        sed "s|^ExecStart=/usr/local/bin/certsd $service .*|ExecStart=/usr/bin/certsd $service --config /etc/certsd/$service.toml|" \
            "packaging/systemd/certsd-$service.service" >"$stage/certsd-$service.service"
        into 644 "/usr/lib/systemd/system/certsd-$service.service" "$stage/certsd-$service.service" "deb rpm tar"
        into 644 "/usr/lib/systemd/system/certsd-$service.socket" "packaging/systemd/certsd-$service.socket" "deb rpm tar"
    done

    "$self" man | gzip -9n >"$stage/certsd.1.gz"
    for shell in bash zsh fish; do
        "$self" completion $shell >"$stage/completion.$shell"
    done
    into 644 /usr/share/man/man1/certsd.1.gz "$stage/certsd.1.gz"
    into 644 /usr/share/bash-completion/completions/certsd "$stage/completion.bash"
    into 644 /usr/share/zsh/vendor-completions/_certsd "$stage/completion.zsh" deb
    into 644 /usr/share/zsh/site-functions/_certsd "$stage/completion.zsh" "rpm apk tar"
    into 644 /usr/share/fish/vendor_completions.d/certsd.fish "$stage/completion.fish"

    common
    into 644 /usr/share/certsd/alerts.yaml docs/alerts.yaml
    into 644 /usr/share/certsd/grafana.json docs/grafana.json
    into 644 "$doc/README.md" README.md
    for text in docs/*.md; do
        into 644 "$doc/$text" "$text"
    done
    into 644 "$doc/sbom/certsd.cdx.json" "$work/$arch/certsd.cdx.json"
    cp "$work/$arch/certsd.cdx.json" "$dist/certsd_${version}_$arch.cdx.json"
    package "client certificates for container registries, from certs.d directories" \
        "The command certsd, and two services that you enable yourself: a gateway for clients that cannot present client certificates, and an image service for the kubelet."
}

# stage_containerd ARCH LINE VERSION makes the packages of a line of containerd.
stage_containerd() {
    begin "containerd-certsd-$2" "$1"
    home=/usr/lib/containerd-certsd/$2
    common
    for program in containerd ctr containerd-shim-runc-v2; do
        into 755 "$home/$program" "$work/$arch/$2/$program"
        into 644 "$doc/sbom/$program.cdx.json" "$work/$arch/$2/$program.cdx.json"
        cp "$work/$arch/$2/$program.cdx.json" "$dist/${name}_${version}_${arch}_$program.cdx.json"
    done
    into 644 "$doc/config.toml.example" config.toml.example
    package "containerd $3 with the certsd plugin" \
        "The binaries of containerd $3 with the plugin that presents client certificates as certs.d directories configure them. They are installed alongside the machine's own containerd; certsd plugin enable starts them instead of it, and certsd plugin disable goes back."
}

# stage_pkcs11 ARCH makes the package of the helper for tokens: with C, for glibc, so
# without a package for Alpine.
stage_pkcs11() {
    begin certsd-pkcs11 "$1"
    into 755 /usr/bin/certsd-pkcs11 "$work/$arch/certsd-pkcs11" "deb rpm tar"
    gzip -9n <packaging/man/certsd-pkcs11.1 >"$stage/certsd-pkcs11.1.gz"
    into 644 /usr/share/man/man1/certsd-pkcs11.1.gz "$stage/certsd-pkcs11.1.gz" "deb rpm tar"
    common
    into 644 "$doc/sbom/certsd-pkcs11.cdx.json" "$work/$arch/certsd-pkcs11.cdx.json" "deb rpm tar"
    cp "$work/$arch/certsd-pkcs11.cdx.json" "$dist/certsd-pkcs11_${version}_$arch.cdx.json"
    package "helper of certsd for keys in PKCS #11 tokens" \
        "Signs with keys in smart cards, YubiKeys and HSMs for certsd and for containerd with its plugin. It is the only one of their programs that is linked with C."
}
