# From containerd 1.7 to the plugin and back, with a container and pods that run.
@NODE@
say "it was 1.7: $(program containerd) $(containerd --version)"
new=/usr/lib/containerd-certsd/2.3/ctr
# Its socket is not at the usual place; ctr knows that by this.
export CONTAINERD_ADDRESS=/run/node/containerd.sock
crictl() { command crictl -c /run/crictl.yaml -i "unix://$CONTAINERD_ADDRESS" -r "unix://$CONTAINERD_ADDRESS" "$@"; }
touch /run/crictl.yaml
# pod NAME starts one with a container, on the network of the machine.
pod() {
	printf '{"metadata": {"name": "%s", "namespace": "default", "uid": "%s"}, "log_directory": "/run/pods", "linux": {"security_context": {"namespace_options": {"network": 2}}}}' "$1" "$1" >/run/"$1".json
	echo '{"metadata": {"name": "waits"}, "image": {"image": "registry.example/pause:1"}, "log_path": "waits.log"}' >/run/container.json
	local id
	id=$(crictl create "$(crictl runp /run/"$1".json)" /run/container.json /run/"$1".json)
	crictl start "$id"
}
# pods are the containers that run, with their processes, and the sandboxes that are ready.
pods() {
	local id
	for id in $(crictl ps -q --state running | sort); do
		echo "$id $(crictl inspect -o go-template --template '{{.info.pid}}' "$id")"
	done
	crictl pods -q --state ready | sort
}
files >/run/before

ctr images import /pause.tar >/dev/null
ctr -n k8s.io images import /pause.tar >/dev/null
ctr run -d registry.example/pause:1 sleeper
sleeper=$(ctr tasks ls | awk '$1 == "sleeper" { print $2 }')
alive
pod one
one=$(pods)
test "$(echo "$one" | wc -l)" = 2

cd /packages/a
@DOC install.md: To install@
registry
if ctr images pull --hosts-dir /etc/docker/certs.d "$REF" >/run/refused 2>&1; then false; fi
grep -c '403 Forbidden' /run/refused >/dev/null && echo "1.7 gets a 403"
grep '^version' /etc/containerd/config.toml

say "there"
cd /packages/a
@DOC to-the-plugin.md: There@
alive
test "$one" = "$(pods)"
say "containerd is $(program containerd), container and pod go on"
$new --version
echo "plugin: $($new images ls -q | grep "$REF")"
# CRI hands over its own config_path, as the document says.
cp -a "/etc/docker/certs.d/$via" /etc/containerd/certs.d/
crictl pull "$REF" >/dev/null
echo "by CRI: $($new -n k8s.io images ls -q | grep "$REF")"
pod two
two=$(pods)
test "$(echo "$two" | wc -l)" = 4

say "back"
@DOC to-the-plugin.md: Back@
await alive
await crictl info
# 1.7 does not know the shims of 2, and ends what they run, as the document says.
test "$one" = "$(pods)"
say "containerd is $(program containerd), container and pod go on, the pod of 2.3 has ended"
ctr images ls -q | grep "$REF"
if ctr plugins ls | grep certsd; then false; fi
pod three
test "$(pods | wc -l)" = 4

ctr tasks kill -s KILL sleeper
await sh -c '! ctr tasks ls | grep -q RUNNING'
ctr containers rm sleeper
crictl rmp -a -f >/dev/null
test -z "$(pods)"
@DOC install.md: To remove them@
rm -r "/etc/docker/certs.d/$via" "/etc/containerd/certs.d/$via"
files >/run/after
diff /run/before /run/after && echo "nothing else is left"
say done
