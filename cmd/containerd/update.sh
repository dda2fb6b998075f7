#!/bin/sh
# update.sh LINE [VERSION] moves a release line of containerd to its newest patch
# release, or to VERSION: its go.mod is written anew from the requirements of
# that release. Then it builds, and runs what must be so with every containerd.
# What broke is said at the end; what was written stays, for git diff.
set -eu
GO=${GO:-go}
MAKE=${MAKE:-make}
upstream=github.com/containerd/containerd/v2
module=github.com/certsd/containerd-certsd

usage() {
    echo "usage: update.sh LINE [VERSION], LINE being one of: $(ls -d "$here"/*/ | xargs -n 1 basename | tr '\n' ' ')" >&2
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
line=${1:-}
[ -n "$line" ] && [ -f "$here/$line/go.mod" ] || usage
cd "$here/$line"
old=$($GO list -m -f '{{.Version}}' $upstream)
new=${2:-$($GO list -m -versions $upstream | tr ' ' '\n' | grep "^v$line\.[0-9]*\$" | sort -V | tail -n 1)}
case $new in v"$line".*) ;; *) echo "containerd $new is not of the line $line" >&2 && exit 2 ;; esac
echo "containerd $line: $old -> $new"

# The release's go.mod has all that it is built with: what is left out here is
# taken from there.
release=$(cd / && $GO mod download -json "$upstream@$new" | sed -n 's/^.*"GoMod": "\(.*\)",*$/\1/p')
needs=$(sed -n 's/^go //p' "$release")
cat >go.mod <<EOF
module $module/cmd/containerd/$line

go $needs

require (
	$module v0.0.0
	$upstream $new
)

tool (
	$module/cmd/certsd
	$upstream/cmd/containerd-shim-runc-v2
	$upstream/cmd/ctr
)

replace $module => ../../..
EOF

broke=
try() { # try WHAT COMMAND...
    what=$1
    shift
    [ "$1" = test ] || echo "== $what: $*"
    "$@" || broke="$broke
  $what: $*"
}
try "requirements" $GO mod tidy
is=$($GO list -m -f '{{.Version}}' $upstream) || is=
try "requirements: another module here wants containerd $is" test "$is" = "$new"
try "vet" $GO vet .
cd "$root"
try "layout, which lists what is newer than in the release" $GO test -count=1 -run 'TestLines|TestLowest' ./internal/layout
try "libraries and plugin compile" $GO -C "cmd/containerd/$line" build $module/...
if [ "$(id -u)" = 0 ]; then
    try "build and core scenarios" "$MAKE" "core-$line"
else
    try "build" "$MAKE" build CONTAINERD="$line"
    echo "The core scenarios need root: sudo make core-$line"
fi
git -C "$root" --no-pager diff --stat -- cmd/containerd 2>/dev/null || true
if [ -n "$broke" ]; then
    echo "containerd $new broke:$broke" >&2
    exit 1
fi
echo "containerd $new: nothing broke. Building it needs Go $needs."
