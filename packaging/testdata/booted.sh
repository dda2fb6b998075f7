# What happens to a node with systemd, from installation to purge. It runs as a
# unit; what is marked DOC are commands of the documents. $REF is an image behind client
# certificates, through a proxy that holds a download for as long as /hold is there.
set -eEuo pipefail
report() {
	echo "FAILED at line $1: $2"
	systemctl --no-pager --failed
	journalctl --no-pager -u 'certsd-*' -u by-gateway -u by-plugin -u kubelet -u demo-proxy -u containerd -n 300 |
		grep -v -e ' ctr\[.*[|:] ' -e 'loading plugin' | tail -n 50 | cut -c1-300
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
new=/usr/lib/containerd-certsd/2.4/ctr
program() { readlink "/proc/$(systemctl show -p MainPID --value "$1")/exe"; }
alive() { test "$(ctr tasks ls | awk '$1 == "sleeper" { print $2, $3 }')" = "$sleeper RUNNING"; }
forget() { ctr images rm --sync "$1" >/dev/null 2>&1 || true; }
mkdir -p /etc/containerd/certs.d /etc/docker/certs.d

# With cgroups of version 1 nspawn keeps all but its own from being written.
for controller in /sys/fs/cgroup/*; do
	mount -o remount,bind,rw "$controller" 2>/dev/null || true
done

await systemctl is-active containerd
say "it was Debian's: $(program containerd)"

say install
cd /packages/a
@DOC install.md: To install@
for unit in certsd-gateway.service certsd-gateway.socket certsd-cri.service certsd-cri.socket; do
	echo "$unit: $(systemctl is-enabled $unit || true), $(systemctl is-active $unit || true)"
done

# The registry, and the proxy in front of it, whose directory everybody reads.
systemd-run -q --unit demo-registry certsd demo --serve /run/demo
await test -s /run/demo/ref
registry=$(cut -d/ -f1 /run/demo/ref)
systemd-run -q --unit demo-proxy perl /test/proxy.pl "${registry##*:}"
await test -s /run/proxy.port
via=${registry%:*}:$(cat /run/proxy.port)
REF=$via/$(cut -d/ -f2- /run/demo/ref)
cp -a "/run/demo/certs.d/$registry" "/etc/docker/certs.d/$via"

say "a pull through the gateway"
@DOC install.md: The gateway@
ctr images pull --hosts-dir /etc/containerd/certs.d "$REF" | tail -n 1
echo "gateway: $(ctr images ls -q)"
systemctl show -p User -p DynamicUser --value certsd-gateway | tr '\n' ' '
forget "$REF"
rm -r /etc/containerd/certs.d/*

say "a pull through the image service"
@DOC install.md: The image service@
ctr -n k8s.io images ls -q | grep -v @ | grep "$REF"
journalctl -u certsd-cri | grep -o "certsd cri: pulled" | tail -n 1
if journalctl -u certsd-gateway | grep "agent=containerd/2"; then false; fi

say "a container of Debian's containerd"
ctr images import /packages/a/certsd_*_oci.tar >/dev/null
touch /etc/hosts /etc/resolv.conf
ctr run -d "$(ctr images ls -q | grep ghcr.io)" sleeper
sleeper=$(ctr tasks ls | awk '$1 == "sleeper" { print $2 }')
alive

say "the plugin"
@DOC to-the-plugin.md: There@
alive
say "containerd is $(program containerd), and the container goes on"
$new images pull "$REF" | tail -n 1
echo "plugin: $($new images ls -q | grep "$REF")"
forget "$REF"

# upgrade DIR: with a pull through the gateway, one through the plugin, and a
# container.
upgrade() {
	# Namespaces share what one of them has.
	$new -n k8s.io images ls -q | xargs -r $new -n k8s.io images rm --sync >/dev/null
	rm -rf /run/held/*
	touch /hold
	certsd gateway --config /etc/certsd/gateway.toml --print-hosts /run/gateway-hosts >/dev/null 2>&1
	systemd-run -q --unit by-gateway -p RemainAfterExit=yes $new -n by-gateway images pull --local --hosts-dir /run/gateway-hosts "$REF"
	systemd-run -q --unit by-plugin -p RemainAfterExit=yes $new -n by-plugin images pull "$REF"
	await sh -c 'test "$(ls /run/held | wc -l)" = 2'
	old=$(systemctl show -p MainPID --value certsd-gateway)
	before=$(systemctl show -p MainPID --value containerd)
	apt-get install -y --allow-downgrades "$1"/certsd_*_amd64.deb "$1"/containerd-certsd-2.4_*_amd64.deb 2>&1 | grep '^containerd-certsd' &
	install=$!
	# The gateway is asked to stop, and has a download under way.
	await sh -c 'test "$(systemctl show -p ActiveState --value certsd-gateway)" = deactivating'
	test -e "/proc/$old"
	rm /hold
	wait $install
	await systemctl is-active by-gateway
	await sh -c 'test "$(systemctl show -p SubState --value by-gateway)" = exited -a "$(systemctl show -p SubState --value by-plugin)" = exited'
	test "$(systemctl show -p Result --value by-gateway) $(systemctl show -p Result --value by-plugin)" = "success success"
	systemctl stop by-gateway by-plugin
	for name in by-gateway by-plugin; do
		$new -n $name images check | grep -c 'complete.*true' >/dev/null
		$new -n $name images rm --sync "$REF" >/dev/null
	done
	test "$before" = "$(systemctl show -p MainPID --value containerd)"
	test "$old" != "$(systemctl show -p MainPID --value certsd-gateway)"
	alive
	echo "pulls finished, containerd was not restarted, the container goes on"

	# Whoever restarts containerd during a pull has it repeated, as the kubelet does.
	touch /hold
	(until crictl -i unix:///run/certsd/cri.sock -r unix:///run/containerd/containerd.sock pull "$REF"; do sleep 0.2; done >/run/kubelet.log 2>&1) &
	kubelet=$!
	await sh -c 'test -n "$(ls /run/held)"'
	systemctl restart containerd
	rm /hold
	wait $kubelet
	grep -c "pulling image\|rpc error" /run/kubelet.log | sed 's/^/the pull was repeated after failures: /'
	await alive
	echo "$(program containerd) of $(dpkg-query -W -f '${Version}' containerd-certsd-2.4) is used, the container goes on"
}
say "upgrade"
upgrade /packages/later
say "downgrade"
upgrade /packages/a

say "back"
@DOC to-the-plugin.md: Back@
alive
say "containerd is $(program containerd), and the container goes on"
ctr tasks kill -s KILL sleeper
await sh -c '! ctr tasks ls | grep -q RUNNING'
ctr containers rm sleeper

say "removed"
apt-get purge -y certsd 2>&1 | grep '^certsd:' || true
for unit in certsd-gateway.service certsd-cri.service; do
	echo "$unit: $(systemctl is-active $unit || true)"
done
find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /packages -o -path /var/lib/containerd -o -path /var/log \) -prune -o -iname '*certsd*' -print | grep -v -e /var/lib/apt -e /var/lib/dpkg -e /var/cache || true
say done
