#!/bin/sh
# run.sh [PATCH...]: for each patch here, copies containerd from the module
# cache, and runs the tests of the patch without the change, where they must
# fail, and with it.
set -eu
version=v2.4.2
here=$(cd "$(dirname "$0")" && pwd)
GO=${GO:-go}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# git looks for no repository above, and Go for no workspace.
export GIT_CEILING_DIRECTORIES="$work" GOWORK=off GOFLAGS=-mod=readonly
(cd / && $GO mod download "github.com/containerd/containerd/v2@$version")
source=$($GO env GOMODCACHE)/github.com/containerd/containerd/v2@$version

[ $# -gt 0 ] || set -- "$here"/*.patch
for patch; do
    name=$(basename "$patch")
    patch=$(cd "$(dirname "$patch")" && pwd)/$name
    echo "== $name"
    cp -r "$source" "$work/tree"
    chmod -R u+w "$work/tree"
    cd "$work/tree"
    # The packages, and the names of the tests that the patch adds.
    packages=$(sed -n 's|^+++ b/\(.*\)/[^/]*_test\.go$|./\1|p' "$patch" | sort -u)
    tests=$(sed -n 's/^+func \(Test[A-Za-z]*\)(.*/\1/p' "$patch" | paste -sd '|' -)
    git apply --include='*_test.go' "$patch"
    # shellcheck disable=SC2086 # several packages
    if $GO test -count=1 -run "^($tests)\$" $packages >"$work/red" 2>&1; then
        echo "$name: its tests pass without the change" >&2
        exit 1
    fi
    echo "red without the change: $(grep -m 1 -E 'panic:|_test\.go:[0-9]+:' "$work/red" | sed 's/^ *//')"
    git apply --exclude='*_test.go' "$patch"
    # shellcheck disable=SC2086
    $GO vet $packages
    # All tests of the packages, those that were there too.
    # shellcheck disable=SC2086
    $GO test -count=1 $packages
    cd /
    rm -rf "$work/tree"
done
