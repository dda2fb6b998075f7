# What happens to a node with Debian's containerd from installation to purge. The proxy
# holds a download for as long as /hold is there.
@NODE@
new=/usr/lib/containerd-certsd/2.4/ctr
say "it was Debian's: $(program containerd)"
files >/run/before

say install
cd /packages/a
@DOC install.md: To install@
for unit in certsd-gateway.service certsd-gateway.socket certsd-cri.service certsd-cri.socket; do
	echo "$unit: $(systemctl is-enabled $unit || true), $(systemctl is-active $unit || true)"
done

registry

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

say "a key in a token"
apt-get install -y ./certsd-pkcs11_*_amd64.deb 2>&1 | grep "^Setting up certsd-pkcs11"
token
cp /etc/certsd/gateway.toml /run/gateway.toml
sed -i 's/^signer = .*/signer = ["certsd-pkcs11"]/' /etc/certsd/gateway.toml
systemctl restart certsd-gateway
certsd gateway --config /etc/certsd/gateway.toml --print-hosts /run/token-hosts >/dev/null 2>&1
ctr images pull --hosts-dir /run/token-hosts "$REF" >/dev/null
echo "with the token: $(ctr images ls -q)"
grep -lx certsd-pkcs11 /proc/[0-9]*/comm >/dev/null
forget "$REF"
cp /run/gateway.toml /etc/certsd/gateway.toml
systemctl restart certsd-gateway
detoken
apt-get purge -y certsd-pkcs11 2>&1 | grep "^Removing certsd-pkcs11"

say "a container of Debian's containerd"
ctr images import /packages/a/certsd_*_oci.tar >/dev/null
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
certsd gateway --config /etc/certsd/gateway.toml --print-hosts /etc/containerd/certs.d >/dev/null
@DOC install.md: To remove them@
for unit in certsd-gateway.service certsd-cri.service; do
	echo "$unit: $(systemctl is-active $unit || true)"
done
# What the document says stays is all that does.
rm -r "/etc/docker/certs.d/$via" /etc/containerd/certs.d/*
files >/run/after
diff /run/before /run/after && echo "nothing else is left"
say done
