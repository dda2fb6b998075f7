#!/bin/sh
# update.sh LINE [VERSION] moves a release line of containerd to its newest patch
# release, or to VERSION: its go.mod is written anew from the requirements of
# that release. Then it builds, and runs what must be so with every containerd.
# What broke is said at the end; what was written stays, for git diff. Where there
# is no newer release, nothing is done.
set -eu
GO=${GO:-go}
MAKE=${MAKE:-make}
upstream=github.com/containerd/containerd/v2
module=github.com/certsd/containerd-certsd

usage() {
    echo "usage: update.sh LINE [VERSION], LINE being one of: $(ls -d "$here"/*/ | xargs -n 1 basename | tr '\n' ' ')" >&2
    exit 2
}

fail() { # nothing was changed
    echo "update.sh: $*" >&2
    exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
line=${1:-}
[ -n "$line" ] && [ -f "$here/$line/go.mod" ] || usage
cd "$here/$line"
old=$($GO list -m -f '{{.Version}}' $upstream)
new=${2:-}
if [ -z "$new" ]; then
    all=$($GO list -m -versions $upstream) || fail "which releases there are could not be asked for"
    new=$(echo "$all" | tr ' ' '\n' | grep "^v$line\.[0-9]*\$" | sort -V | tail -n 1)
    if [ "$(printf '%s\n' "$old" "$new" | sort -V | tail -n 1)" = "$old" ]; then
        echo "containerd $line: $old is the newest. update.sh $line $old would build and test it again."
        exit 0
    fi
fi
case $new in v"$line".*) ;; *) echo "containerd $new is not of the line $line" >&2 && exit 2 ;; esac
echo "containerd $line: $old -> $new"

# The release's go.mod has all that it is built with: what is left out here is
# taken from there.
answer=$(cd / && $GO mod download -json "$upstream@$new") || true
release=$(printf '%s\n' "$answer" | sed -n 's/^.*"GoMod": "\(.*\)",*$/\1/p')
[ -n "$release" ] || fail "$(printf '%s\n' "$answer" | sed -n 's/^.*"Error": "\(.*\)",*$/\1/p')"
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

# The line's row of the document, in which each line's stands.
document=$root/docs/containerd.md
awk -F ' [|] ' -v OFS=' | ' -v line="| $line" -v new="${new#v}" -v needs="$needs" \
    '$1 == line || index($1, line " ") == 1 { $2 = new; $4 = needs } { print }' "$document" >"$document.new"
cat "$document.new" >"$document"
rm "$document.new"

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
git -C "$root" --no-pager diff --stat -- cmd/containerd docs 2>/dev/null || true
if [ -n "$broke" ]; then
    echo "containerd $new broke:$broke" >&2
    echo "What was written stays. To go back: git checkout cmd/containerd/$line docs/containerd.md" >&2
    exit 1
fi
echo "containerd $new: nothing broke. Building it needs Go $needs."
