#!/bin/sh
# alpine.sh FIRST LATER installs, uses, upgrades, downgrades and removes the packages of
# two directories by apk, on the machine that it runs on: an Alpine made for it, as the
# workflow packages has one.
set -eu
first=$1 later=$2
fail() {
    echo "alpine.sh: $*" >&2
    exit 1
}
packages() { ls "$1"/certsd-[0-9]*."$(apk --print-arch)".apk "$1"/containerd-certsd-2.4-*."$(apk --print-arch)".apk; }
installed() { apk list --installed 2>/dev/null | sed -n "s/^$1-\([0-9][^ ]*\) .*/\1/p"; }
# What apk itself keeps is no trace.
files() { find /bin /etc /lib /sbin /usr /var -xdev ! -path '/lib/apk/*' ! -path '/usr/lib/apk/*' ! -path '/etc/apk/*' ! -path '/var/cache/*' | sort; }

files >/tmp/before
# shellcheck disable=SC2046
apk add --allow-untrusted $(packages "$first")
one=$(installed certsd)
[ -n "$one" ] && [ "$(installed containerd-certsd-2.4)" = "$one" ] || fail "installed are $(apk list --installed)"
certsd --version
certsd demo | grep 'bravo.cert *200 OK'
/usr/lib/containerd-certsd/2.4/containerd --version
apk info --contents certsd | grep -x usr/bin/certsd
apk info --depends containerd-certsd-2.4 | grep -x certsd

# What somebody has changed stays, and the new file lies beside it.
sed -i 's/^max_downloads = .*/max_downloads = 3/' /etc/certsd/gateway.toml
mkdir -p /etc/certsd/certs.d/registry.example
# shellcheck disable=SC2046
apk add --allow-untrusted $(packages "$later")
[ "$(apk version --test "$(installed certsd)" "$one")" = ">" ] || fail "$(installed certsd) does not come after $one"
grep -x 'max_downloads = 3' /etc/certsd/gateway.toml
echo "upgraded from $one to $(installed certsd)"

# shellcheck disable=SC2046
apk add --allow-untrusted $(packages "$first")
[ "$(installed certsd)" = "$one" ] || fail "after the downgrade there is $(installed certsd)"
grep -x 'max_downloads = 3' /etc/certsd/gateway.toml
certsd --version

apk del containerd-certsd-2.4 certsd
[ -z "$(installed certsd)" ] || fail "certsd is still there"
files >/tmp/after
left=$(grep -vxFf /tmp/before /tmp/after || true)
# Certificates and keys are nobody's but the administrator's.
echo "$left" | grep -qx /etc/certsd/certs.d/registry.example || fail "the directory of a registry is gone"
! echo "$left" | grep -v '^/etc/certsd' || fail "that is left"
echo "removed, left are" $left
