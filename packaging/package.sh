# From a list of files to packages: package SUMMARY TEXT. Compressing them takes longer
# than all else and is done by one core for each: the formats are made side by side, and
# beside what is compiled next. packaged waits for them.

packing=
package() {
    packaged
    for format in $FORMATS; do
        pack "$1" "$2" &
        packing="$packing $!"
    done
}

packaged() {
    for job in $packing; do
        wait "$job"
    done
    packing=
}

# pack SUMMARY TEXT makes the package of one format.
pack() {
    case $format-$name in
    apk-certsd-pkcs11) ;; # for glibc
    oci-*) ;; # of the program alone: image.sh
    tar-*) archive ;;
    *)
        describe "$1" "$2" >"$stage/$format.yaml"
        "$NFPM" package --config "$stage/$format.yaml" --packager "$format" --target "$dist/$(filename "$format")" >/dev/null
        ;;
    esac
}

# filename FORMAT is what its own tools would call the package.
filename() {
    case $1-$arch in
    deb-*) echo "${name}_$version-1_$arch.deb" ;;
    rpm-amd64) echo "$name-$version-1.x86_64.rpm" ;;
    rpm-arm64) echo "$name-$version-1.aarch64.rpm" ;;
    apk-amd64) echo "$name-$apk-r1.x86_64.apk" ;;
    apk-arm64) echo "$name-$apk-r1.aarch64.apk" ;;
    tar-*) echo "${name}_${version}_linux_$arch.tar.gz" ;;
    esac
}

# describe SUMMARY TEXT writes the configuration of the packager for one format. What
# apk has of a package are lines with a key: the summary alone.
describe() {
    cat <<YAML
name: $name
arch: $arch
version: "$(test "$format" = apk && echo "$apk" || echo "$version")"
version_schema: none
release: "1"
section: admin
priority: optional
maintainer: $maintainer
homepage: $homepage
description: |
  $1
$(test "$format" = apk || echo "$2" | fold -s -w 76 | sed 's/^/  /; s/ *$//')
disable_globbing: true
mtime: $(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
umask: 0o022
rpm: {buildhost: localhost, summary: "$(echo "$1" | sed 's/^./\U&/')", group: System/Base, compression: "gzip:9"}
deb: {compression: "gzip:9"}
YAML
    # In Debian the license is in the file copyright.
    [ "$format" = deb ] || echo "license: Apache-2.0"
    case $name-$format in
    certsd-pkcs11-deb) echo 'depends: [certsd, "libc6 (>= 2.34)"]' ;;
    certsd-pkcs11-rpm) echo 'depends: [certsd, "libc.so.6(GLIBC_2.34)(64bit)"]' ;;
    certsd-[a-z]*-* | containerd-*) echo "depends: [certsd]" ;;
    esac
    [ "$format" != rpm ] || echo "changelog: $stage/changelog.yaml"
    echo "contents:"
    while read -r mode path from formats; do
        case " $formats " in *" $format "*) ;; *) continue ;; esac
        case $mode in
        dir) echo "  - {dst: '$path', type: dir, file_info: {mode: 0755}}" ;;
        config) echo "  - {src: '$from', dst: '$path', type: 'config|noreplace', file_info: {mode: 0644}}" ;;
        *) echo "  - {src: '$from', dst: '$path', $(kind "$path")file_info: {mode: 0$mode}}" ;;
        esac
    done <"$list"
    scripts
}

# kind says which files rpm can leave out where documents are not wanted.
kind() {
    case $format$1 in
    rpm/usr/share/doc/* | rpm/usr/share/man/*) echo "type: doc, " ;;
    esac
}

# scripts names what dpkg and rpm run. apk has nothing to run.
scripts() {
    for at in postinstall preremove postremove; do
        script=packaging/$format/${name%-[0-9]*}.$at
        [ -e "$script" ] || continue
        sed -e "s|@LINE@|${name##*-}|g" -e "s|@NAME@|$name|g" "$script" >"$stage/$format.$at"
        echo "  $at: $stage/$format.$at"
    done | sed '1i scripts:'
}

# archive writes the same files below one directory.
archive() {
    top=${name}_${version}_linux_$arch tree=$stage/tar
    while read -r mode path from formats; do
        case " $formats " in *" tar "*) ;; *) continue ;; esac
        case $mode in
        dir) mkdir -p "$tree/$top$path" ;;
        config) install -D -m 644 "$from" "$tree/$top$path" ;;
        *) install -D -m "$mode" "$from" "$tree/$top$path" ;;
        esac
    done <"$list"
    tar -C "$tree" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
        --mode=u=rwX,go=rX -cf "$stage/archive.tar" "$top"
    gzip -9n <"$stage/archive.tar" >"$dist/$(filename tar)"
    rm -r "$tree" "$stage/archive.tar"
}
