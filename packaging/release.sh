#!/bin/sh
# release.sh VERSION makes a release of what is committed: the changelog's section
# gets its version, the commit its tag, and dist/VERSION the packages, the notes and
# the sums, signed where SIGNING_KEY names a key. Nothing is pushed: the commands
# that do are printed. "make release VERSION=v1.2.3" calls it; with DRY_RUN=yes
# nothing is built or kept.
#
# All of it is done in a clone, so that a failure leaves nothing behind.
set -eu
export LC_ALL=C
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
tag=${1:-}
MAKE=${MAKE:-make}
DRY_RUN=${DRY_RUN:-}
SIGNING_KEY=${SIGNING_KEY:-}

refuse() {
    echo "no release: $*" >&2
    exit 2
}

printf %s "$tag" | grep -Eqx 'v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-(alpha|beta|rc)\.[1-9][0-9]*)?' ||
    refuse "VERSION=$tag is not like v1.2.3 or v1.3.0-rc.1"
git rev-parse -q --verify HEAD >/dev/null || refuse "there is no git repository with a commit"
[ -z "$(git status --porcelain)" ] || refuse "there is what is not committed: git status"
! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || refuse "$tag is there already"
last=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || true)
# As in version.sh: a release comes after its candidates.
order() { printf '%s\n' "$1" | sed 's/-/~/'; }
if [ -n "$last" ] && [ "$(printf '%s\n%s\n' "$(order "$last")" "$(order "$tag")" | sort -V | tail -n 1)" != "$(order "$tag")" ]; then
    refuse "$tag is not after $last"
fi

# section VERSION prints what the changelog says of a version.
section() {
    awk -v head="## [$1]" 'index($0, head) == 1 { on = 1; next } /^## |^\[[^]]*\]: / { on = 0 } on' CHANGELOG.md |
        sed -e '/./,$!d' | awk '{ text = text $0 "\n" } /./ { printf "%s", text; text = "" }'
}
[ -n "$(section Unreleased)" ] || refuse "CHANGELOG.md says nothing under Unreleased"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git clone -q "$root" "$work/source"
for key in user.name user.email; do
    if value=$(git config "$key"); then
        git -C "$work/source" config "$key" "$value"
    fi
done
cd "$work/source"

# What the API promises: a number that says so goes with a change that breaks.
"$MAKE" -s apidiff TOOLS="$root/.cache/bin" >"$work/api"
number=${tag#v}
case $number in
0.*) kept=v0.$(echo "$number" | cut -d. -f2). ;;
*) kept=v${number%%.*}. ;;
esac
case $last in
"$kept"*) ! grep -q '^Incompatible changes:' "$work/api" || { cat "$work/api" >&2 && refuse "the API has changed so that programs break, and $tag follows $last"; } ;;
esac

home=https://github.com/certsd/containerd-certsd
awk -v version="$number" -v date="$(date -u +%Y-%m-%d)" -v home="$home" '
    /^## \[Unreleased\]/ { print; print ""; print "## [" version "] - " date; next }
    /^\[Unreleased\]: / { print "[Unreleased]: " home "/compare/v" version "...main"; print "[" version "]: " home "/releases/tag/v" version; next }
    { print }' CHANGELOG.md >"$work/changelog"
cat "$work/changelog" >CHANGELOG.md

# notes are the changelog's words, and what somebody checks before an upgrade.
notes() {
    section "$number"
    printf '\n### Built with\n\n'
    for line in cmd/containerd/[0-9]*; do
        echo "- containerd-certsd-${line##*/}: containerd $(awk '$1 == "github.com/containerd/containerd/v2" { print $2 }' "$line/go.mod")"
    done
    printf '\n### Exported API\n\n'
    sed 's/^/    /' "$work/api"
    printf '\ndocs/install.md says how to install, to verify and to build again what is here, docs/releasing.md what stays as it is from one version to the next.\n'
}
notes >"$work/notes"

if [ -n "$DRY_RUN" ]; then
    git --no-pager diff
    cat "$work/notes"
    echo "a dry run: nothing is built, and nothing is as it was not before"
    exit 0
fi

git commit -q -m "CHANGELOG: $tag" CHANGELOG.md
if [ -n "$SIGNING_KEY" ]; then
    git -c gpg.format=ssh -c "user.signingkey=$SIGNING_KEY" tag -s -F "$work/notes" --cleanup=whitespace "$tag"
else
    git tag -a -F "$work/notes" --cleanup=whitespace "$tag"
fi
"$MAKE" -s packages TOOLS="$root/.cache/bin" DIST="$work/dist" SIGNING_KEY="$SIGNING_KEY" \
    ${LINES+LINES="$LINES"} ${ARCHES+ARCHES="$ARCHES"} ${FORMATS+FORMATS="$FORMATS"}

# All of it is there: now it is kept.
cd "$root"
[ "$(git rev-parse HEAD)" = "$(git -C "$work/source" rev-parse "$tag^{commit}^")" ] || refuse "somebody has committed meanwhile"
rm -rf "dist/$tag"
mkdir -p dist
cp -R "$work/dist" "dist/$tag"
cp "$work/notes" "dist/$tag.md"
git fetch -q --no-tags "$work/source" "refs/tags/$tag:refs/tags/$tag"
git merge -q --ff-only "$tag^{commit}"
cat <<END
$tag is tagged here, and dist/$tag has its packages. Nobody else has it before you say

    git push --atomic origin $(git branch --show-current) $tag

The workflow "release" then builds the same bytes and makes a draft of them. What is to be the same:

    cmp dist/$tag/SHA256SUMS THE-DRAFT'S
END
