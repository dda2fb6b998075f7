# The next start of the node of installer.sh: what it has then, a later version, and the
# way back.
@KUBELET@

await systemctl is-active kubelet
since() { systemctl show -p ActiveEnterTimestampMonotonic --value "$1"; }
test "$(since certsd-cri)" -lt "$(since kubelet)"
say "the node has started: $(program certsd-cri) is $(systemctl is-active certsd-cri), before the kubelet"
first=$(version)
sandbox
registry
pod again "$REF" Always '"/certsd", "demo", "--greet"'
await spoke again
say "the pod says: $(log again | cut -d' ' -f4-)"
rm /etc/kubernetes/manifests/again.yaml

say "a later version"
ctr -n k8s.io images import /installer/later.tar >/dev/null
cp /installer/later.json /etc/kubernetes/manifests/installer.json
later=$(/installer/certsd --version)
test "$first" != "$later"
await sh -c 'test "$(/opt/certsd/bin/certsd --version)" = "$1"' sh "$later"
await grep -x 'log_level = "debug"' /etc/certsd/cri.toml
test "$first" = "$(version)"
@DOC kubernetes.md: From the cluster@
test "$(program certsd-cri)" = /opt/certsd/bin/certsd
test "$later" = "$(version)"
crictl -i unix:///run/certsd/cri.sock -r unix:///run/containerd/containerd.sock pull "$REF"
pod later "$REF" Always '"/certsd", "demo", "--greet"'
await spoke later
say "the later version is used: the pod says: $(log later | cut -d' ' -f4-)"

say "back"
rm /etc/kubernetes/manifests/*
# The chart's pod ends.
await sh -c 'test -z "$(crictl -r unix:///run/containerd/containerd.sock ps --name install -q)"'
@DOC kubernetes.md: A node with systemd #4@
@DOC kubernetes.md: From the cluster #2@
await systemctl is-active kubelet
test ! -e /run/certsd/cri.sock
rm -r "/etc/docker/certs.d/$via"
files >/root/after
diff /root/before /root/after && say "nothing else is left"
say done
