# Sets what this source is called: of a tag the version, of any other commit
# that of the last tag with its date and name, so that a later one is newer.
#
#   source    what the programs say: v1.2.3-0-g0123abc
#   version   that of deb, rpm and archives: 1.2.3, 1.3.0~rc.1, 1.2.3+git20260102030405.0123abc
#   apk       that of apk: 1.2.3, 1.3.0_rc1, 1.2.3_git20260102030405
#   semver    that of images and charts: 1.2.3, 1.3.0-rc.1, 1.2.4-0.git20260102030405.0123abc

# VERSION and SOURCE_DATE_EPOCH say it for a source that is not in git.

if [ -n "${VERSION:-}" ]; then
    tag=$VERSION source=$VERSION commit=
    : "${SOURCE_DATE_EPOCH:=$(git show -s --format=%ct HEAD)}"
else
    git rev-parse -q HEAD >/dev/null || { echo "no git repository: say VERSION=v1.2.3 and SOURCE_DATE_EPOCH" >&2 && exit 2; }
    source=$(git describe --tags --always --long --dirty --abbrev=12 --match 'v[0-9]*')
    SOURCE_DATE_EPOCH=$(git show -s --format=%ct HEAD)
    tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || echo v0.0.0)
    commit=$(git rev-parse --short=12 HEAD)
    if [ "$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null)" = "$tag" ]; then
        commit=
    fi
fi
export SOURCE_DATE_EPOCH
# The commit in whole, or what stands in its place outside of git.
revision=$(test -n "${VERSION:-}" && echo "$VERSION" || git rev-parse HEAD)
at=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)
version=$(echo "${tag#v}" | sed 's/-/~/')
apk=$(echo "${tag#v}" | sed 's/-\([a-z]*\)\.\{0,1\}/_\1/')
semver=${tag#v}
if [ -n "$commit" ]; then
    version=$version+git$at.$commit
    apk=${apk}_git$at
    # Later than the tag, earlier than the next one. A tag of an image has no "+".
    case $semver in
    *-*) semver=$semver.0.git$at.$commit ;;
    *) semver=${semver%.*}.$((${semver##*.} + 1))-0.git$at.$commit ;;
    esac
fi
case $version in
[0-9]*) ;;
*) echo "VERSION=$VERSION is no version: v1.2.3" >&2 && exit 2 ;;
esac
case $source in
*-dirty) echo "not committed: what is built here cannot be built again from $commit" >&2 ;;
esac
