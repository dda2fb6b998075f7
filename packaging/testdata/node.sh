# What the tests of a booted machine begin with. They run as a unit; what is marked DOC
# are commands of the documents.
set -eEuo pipefail
report() {
	# Not into what reads a command's output.
	exec >&2
	echo "FAILED at line $1: $2"
	systemctl --no-pager --failed
	journalctl --no-pager -u 'certsd-*' -u by-gateway -u by-plugin -u kubelet -u demo-proxy -u containerd -n 300 |
		grep -v -e ' ctr\[.*[|:] ' -e 'loading plugin' | tail -n 50 | cut -c1-600
}
trap 'report $LINENO "$BASH_COMMAND"' ERR
export DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

say() { echo "== $*"; }
# await COMMAND... waits for something to become so, at most a minute.
await() {
	for _ in $(seq 600); do
		if "$@" >/dev/null 2>&1; then return; fi
		read -rt 0.1 <> <(:) || true
	done
	echo "waited in vain for: $*"
	return 1
}
program() { readlink "/proc/$(systemctl show -p MainPID --value "$1")/exe"; }
alive() { test "$(ctr tasks ls | awk '$1 == "sleeper" { print $2, $3 }')" = "$sleeper RUNNING"; }
forget() { ctr images rm --sync "$1" >/dev/null 2>&1 || true; }

# With cgroups of version 1 nspawn keeps all but its own from being written.
for controller in /sys/fs/cgroup/*; do
	mount -o remount,bind,rw "$controller" 2>/dev/null || true
done
touch /etc/hosts /etc/resolv.conf
mkdir -p /etc/containerd/certs.d /etc/docker/certs.d

# registry starts one that accepts the second of three certificates, and the proxy in
# front of it, whose directory everybody reads. $REF is an image in it. certsd has to
# be installed.
registry() {
	systemd-run -q --unit demo-registry certsd demo --serve /run/demo
	await test -s /run/demo/ref
	local host
	host=$(cut -d/ -f1 /run/demo/ref)
	systemd-run -q --unit demo-proxy perl /test/proxy.pl "${host##*:}"
	await test -s /run/proxy.port
	via=${host%:*}:$(cat /run/proxy.port)
	REF=$via/$(cut -d/ -f2- /run/demo/ref)
	cp -a "/run/demo/certs.d/$host" "/etc/docker/certs.d/$via"
}

# token puts the key that the registry accepts into a token, and its place into the key's
# file.
token() {
	local key=/etc/docker/certs.d/$via/bravo.key
	softhsm2-util --init-token --free --label node --so-pin 12345678 --pin 12345678 >/dev/null
	softhsm2-util --import "$key" --token node --label client --id 01 --pin 12345678 >/dev/null
	cp -a "$key" /run/bravo.key
	(umask 077 && echo 12345678 >/etc/certsd/pin)
	echo 'pkcs11:token=node;object=client?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/certsd/pin' >"$key"
}
# detoken goes back.
detoken() {
	mv /run/bravo.key "/etc/docker/certs.d/$via/bravo.key"
	rm /etc/certsd/pin
	softhsm2-util --delete-token --token node >/dev/null
}

# files are all files of the machine, but for those that its system writes by itself.
files() {
	find / -xdev -regextype posix-extended -regex '/(proc|sys|dev|packages|tmp|run|root|test|script|out|var/(log|cache|lib/(dpkg|apt|containerd|systemd/(timers|catalog|random-seed)))).*' -prune \
		-o -printf '%M %u:%g %p %l\n' | sort -k3
	find /etc /usr/local -type f -print0 | sort -z | xargs -0 sha256sum
}
await systemctl is-active containerd
