#!/bin/sh
# twice.sh DIR [VARIABLE=...] builds what is committed two times, from two clones in different
# folders, into DIR/a and DIR/b, and fails where a byte differs. For the tests of an
# upgrade there is a later commit, in DIR/later, for this machine alone.
# "make check-packages" calls it. What follows DIR is for make.
#
# Go takes what it has compiled from its build cache, in whichever folder it was compiled:
# of the second build all is linked and packed anew, and what C compiles. Compiled anew are
# the command and its helper, and with APART=yes all of it, which takes long.
set -eu
: "${NEWEST:?the line of containerd that an upgrade is tested with}"
root=$(cd "$(dirname "$0")/.." && pwd)
MAKE=${MAKE:-make}
rm -rf "$1/a" "$1/b" "$1/later"
mkdir -p "$1"
into=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A source without git has no commit: then it is told which one it is.
copy() {
    mkdir -p "$(dirname "$1")"
    if git -C "$root" rev-parse -q HEAD >/dev/null 2>&1; then
        git clone -q "$root" "$1"
    else
        mkdir "$1"
        tar -C "$root" --exclude=./.cache --exclude=./bin --exclude=./dist -cf - . | tar -C "$1" -xf -
        export VERSION=v0.0.0 SOURCE_DATE_EPOCH=1700000000
    fi
}

# Another folder, another umask, another name and time zone.
cache=$(go env GOCACHE) modules=$(go env GOMODCACHE)
[ -z "${APART:-}" ] || cache=$work/gocache
copy "$work/one"
(umask 077 && copy "$work/further/away/two")
"$MAKE" -C "$work/one" packages "$@" DIST="$into/a"
(
    umask 077
    export HOME="$work/home" LOGNAME=other USER=other TZ=Pacific/Chatham GOCACHE="$cache" GOMODCACHE="$modules"
    "$MAKE" -C "$work/further/away/two" packages "$@" DIST="$into/b"
)
# And once with nothing compiled before: the command and its helper alone, which takes minutes.
(
    umask 077
    export HOME="$work/home" GOCACHE="$work/gocache" GOMODCACHE="$modules"
    "$MAKE" -C "$work/further/away/two" packages "$@" LINES= ARCHES="$(go env GOHOSTARCH)" FORMATS=tar DIST="$work/alone"
)
for file in "$work"/alone/*.tar.gz; do
    cmp "$file" "$into/a/$(basename "$file")"
done
(
    cd "$work/one"
    if [ -d .git ]; then
        at=$(($(git show -s --format=%ct HEAD) + 3600))
        GIT_COMMITTER_DATE="@$at +0000" GIT_AUTHOR_DATE="@$at +0000" \
            git -c user.name=later -c user.email=later@example.com commit -q --allow-empty -m later
    else
        export VERSION=v0.0.1
    fi
    "$MAKE" packages DIST="$into/later" "$@" LINES="$NEWEST" ARCHES="$(go env GOHOSTARCH)" FORMATS="deb rpm apk"
)

status=0
for file in "$into"/a/*; do
    cmp "$file" "$into/b/$(basename "$file")" || status=1
done
[ "$(ls "$into/a")" = "$(ls "$into/b")" ] || status=1
if [ $status != 0 ]; then
    echo "two builds of one commit differ" >&2
    exit 1
fi
echo "two builds of one commit are the same: $(find "$into/a" -type f | wc -l) files"
