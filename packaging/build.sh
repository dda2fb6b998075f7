#!/bin/sh
# build.sh [DIR] builds what is installed into DIR, dist if not said: packages
# for dpkg, rpm and apk, archives and a container image, for two architectures,
# each with its SBOM, and SHA256SUMS, which is signed where there is a key.
# "make packages" calls it.
#
# The same commit gives the same bytes, wherever and whenever it is built: no
# time but the commit's, no path, no user, no C compiler.
set -eu
umask 022
export LC_ALL=C TZ=UTC
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "${1:-$root/dist}"
dist=$(cd "${1:-$root/dist}" && pwd)
cd "$root"

GO=${GO:-go}
: "${NFPM:?the packager, which make packages builds}" "${CYCLONEDX:?the SBOM generator, which make packages builds}"
# None at all is the command alone.
LINES=${LINES-2.2 2.3 2.4}
ARCHES=${ARCHES:-amd64 arm64}
FORMATS=${FORMATS:-deb rpm apk tar oci}
# What the container image is called, without its tag.
IMAGE=${IMAGE:-ghcr.io/certsd/certsd}
# An OpenSSH private key, or a public one whose private one is in an agent.
SIGNING_KEY=${SIGNING_KEY:-}
# Go's FIPS 140-3 module, such as v1.0.0; off without.
export GOFIPS140="${GOFIPS140:-off}"
export CGO_ENABLED=0 GOFLAGS=-trimpath GOOS=linux GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= GODEBUG= GOWORK=off

module=github.com/certsd/containerd-certsd
upstream=github.com/containerd/containerd/v2
newest=$(basename "$(find cmd/containerd -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)")

# shellcheck source=packaging/version.sh
. packaging/version.sh
# shellcheck source=packaging/stage.sh
. packaging/stage.sh
# shellcheck source=packaging/package.sh
. packaging/package.sh
# shellcheck source=packaging/image.sh
. packaging/image.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# compile LINE ARCH PACKAGE FILE LDFLAGS builds a program as a part of a line's
# module, as make build does.
compile() {
    echo "  $2 $(basename "$4")"
    GOARCH=$2 $GO -C "cmd/containerd/$1" build -buildvcs=false -ldflags "-s -w $5" -o "$4" "$3"
}

# compile_c ARCH builds the helper for tokens, if there is a C compiler for it.
compile_c() {
    case $1 in
    "$($GO env GOHOSTARCH)") cc=${CC:-gcc} ;;
    arm64) cc=aarch64-linux-gnu-gcc ;;
    amd64) cc=x86_64-linux-gnu-gcc ;;
    esac
    command -v "$cc" >/dev/null || { echo "  $1 certsd-pkcs11 is not built: there is no $cc" >&2 && return 1; }
    echo "  $1 certsd-pkcs11"
    CC=$cc CGO_ENABLED=1 CGO_CFLAGS="-O2 -g0 -fstack-protector-strong -D_FORTIFY_SOURCE=2" CGO_LDFLAGS="-Wl,-z,relro,-z,now" GOARCH=$1 \
        $GO -C cmd/certsd-pkcs11 build -buildvcs=false -buildmode=pie -ldflags "-s -w -linkmode=external" -o "$work/$1/certsd-pkcs11" .
}

# bom FILE OUTPUT writes what a program is made of, read from the program itself.
bom() {
    "$CYCLONEDX" bin -json -noserial -notimestamp -version "$source" -output "$2" "$1"
}

# What tells about itself has to run here.
self="$work/self/certsd"
compile "$newest" "$($GO env GOHOSTARCH)" $module/cmd/certsd "$self" "-X main.version=$source"

for arch in $ARCHES; do
    echo "certsd $version $arch"
    compile "$newest" "$arch" $module/cmd/certsd "$work/$arch/certsd" "-X main.version=$source"
    bom "$work/$arch/certsd" "$work/$arch/certsd.cdx.json"
    stage_certsd "$arch"
    if compile_c "$arch"; then
        bom "$work/$arch/certsd-pkcs11" "$work/$arch/certsd-pkcs11.cdx.json"
        stage_pkcs11 "$arch"
    fi
    for line in $LINES; do
        containerd=$($GO -C "cmd/containerd/$line" list -m -f '{{.Version}}' $upstream)
        echo "containerd-certsd-$line $version $arch: containerd $containerd"
        flags="-X $upstream/version.Version=$containerd -X $upstream/version.Revision=certsd-$source"
        compile "$line" "$arch" . "$work/$arch/$line/containerd" "$flags"
        compile "$line" "$arch" $upstream/cmd/ctr "$work/$arch/$line/ctr" "$flags"
        compile "$line" "$arch" $upstream/cmd/containerd-shim-runc-v2 "$work/$arch/$line/containerd-shim-runc-v2" "$flags"
        for program in containerd ctr containerd-shim-runc-v2; do
            bom "$work/$arch/$line/$program" "$work/$arch/$line/$program.cdx.json"
        done
        stage_containerd "$arch" "$line" "${containerd#v}"
    done
done

image
chart
packaged

cd "$dist"
SIGNING_KEY=$SIGNING_KEY "$root/packaging/sign.sh"
ls -l "$dist"
