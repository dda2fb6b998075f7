#!/usr/bin/env bash
# The demonstration through containerd: the same registry behind client
# certificates, asked by stock containerd and by containerd with the plugin.
# Needs root, for containerd. To run the image it needs runc, and installs that
# where it can. Leaves nothing else behind.
set -euo pipefail

bin=$(cd "$(dirname "$0")/../bin" && pwd)
work=$(mktemp -d /tmp/certsd-demo.XXXXXX)
export PATH="$bin:$PATH"
pids=()

cleanup() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	# A container that was interrupted leaves its root file system mounted.
	awk -v dir="$work/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
	rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# until_true COMMAND...: wait at most 30 seconds for a condition.
until_true() {
	for _ in $(seq 300); do
		if "$@" >/dev/null 2>&1; then return; fi
		read -rt 0.1 <> <(:) || true
	done
	echo "gave up waiting for: $*" >&2
	tail -n 20 "$work"/*.log >&2
	exit 1
}

# daemon NAME DISABLED-PLUGINS: start containerd in a root of its own.
daemon() {
	mkdir -p "$work/$1"
	cat >"$work/$1/config.toml" <<-EOF
		version = 3
		root = "$work/$1/root"
		state = "$work/$1/state"
		disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", $2]
		[plugins."io.containerd.server.v1.grpc"]
		  address = "$work/$1/sock"
		[plugins."io.containerd.server.v1.ttrpc"]
		  address = "$work/$1/sock.ttrpc"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$work/$1/opt"
	EOF
	containerd --config "$work/$1/config.toml" >"$work/$1.log" 2>&1 &
	pids+=($!)
	until_true ctr --address "$work/$1/sock" version
}

# runc_there: whether there is a runc, or one can be installed.
runc_there() {
	command -v runc >/dev/null && return
	command -v apt-get >/dev/null || return
	say "Installing Debian's runc, which stays installed:"
	echo "\$ apt-get install -y --no-install-recommends runc"
	apt-get install -y --no-install-recommends runc >/dev/null
}

mkdir -p "$work/registry"
certsd demo --serve "$work/registry" >"$work/registry.log" &
pids+=($!)
until_true test -f "$work/registry/ref"
ref=$(cat "$work/registry/ref")
certs=$work/registry/certs.d
(cd "$certs/.." && ls -1 certs.d/*/*)

say "Stock containerd, with this certs.d:"
daemon stock '"io.containerd.transfer.v1.certsd", "io.containerd.grpc.v1.certsd", "io.containerd.internal.v1.certsd"'
echo "\$ ctr images pull --hosts-dir $certs $ref"
if ctr --address "$work/stock/sock" images pull --hosts-dir "$certs" "$ref" >"$work/stock-pull.log" 2>&1; then
	echo "stock containerd pulled the image: this demonstration is out of date" >&2
	exit 1
fi
tail -n 1 "$work/stock-pull.log"

say "containerd with the certsd plugin, the same command:"
daemon certsd '"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"'
echo "\$ ctr images pull --hosts-dir $certs $ref"
ctr --address "$work/certsd/sock" images pull --hosts-dir "$certs" "$ref" >"$work/certsd-pull.log" 2>&1 ||
	{ cat "$work/certsd-pull.log" "$work/certsd.log" >&2; exit 1; }
# ctr may end before it has written that the pull is complete.
echo "\$ ctr images ls"
ctr --address "$work/certsd/sock" images ls 2>"$work/images.log" ||
	{ cat "$work/images.log" >&2; exit 1; }

if ! runc_there; then
	say "To see the image run, install runc and call this again."
	exit
fi

say "And the image runs:"
echo "\$ ctr run --rm $ref hello"
# Through a file: ctr's pipes may be closed before a container this short has
# been read.
ctr --address "$work/certsd/sock" run --rm --log-uri "file://$work/hello.log" "$ref" hello 2>"$work/run.log" ||
	{ cat "$work/run.log" >&2; exit 1; }
until_true grep . "$work/hello.log"
cat "$work/hello.log"
