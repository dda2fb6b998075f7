#!/bin/sh
# Records what a person sees who types a command, in a terminal of 80 columns:
# record.sh TITLE COMMAND, in an empty directory with a broken setup for certsd check.
set -eu
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT
cd "$dir"
mkdir certs.d certs.d/registry.example:5000
openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=client -keyout certs.d/registry.example:5000/tls.key -out certs.d/registry.example:5000/tls.crt 2>/dev/null
echo 'copied from a mail' >certs.d/registry.example:5000/client.cert
chmod 644 certs.d/registry.example:5000/client.cert
printf '%s\n$ %s\n' "$1" "$2"
script -qec "stty cols 80 rows 50; $2 || true" /dev/null | sed -e 's/\r$//' -e 's/\x1b\[[0-9;?]*[a-zA-Z]//g'
