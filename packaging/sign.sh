#!/bin/sh
# sign.sh writes SHA256SUMS of the files in this directory, and SHA256SUMS.sig
# where SIGNING_KEY names a key of OpenSSH: a private one, or a public one whose
# private one an agent has.
set -eu
rm -f SHA256SUMS SHA256SUMS.sig
sums=$(LC_ALL=C sha256sum -- *)
echo "$sums" >SHA256SUMS
if [ -n "${SIGNING_KEY:-}" ]; then
    ssh-keygen -q -Y sign -f "$SIGNING_KEY" -n file SHA256SUMS
else
    echo "SHA256SUMS is not signed: SIGNING_KEY names no key of OpenSSH"
fi
