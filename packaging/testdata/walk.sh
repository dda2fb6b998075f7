# A Kubernetes node whose stock containerd gets no image, and who types on it
# what is marked DOC. It runs as a unit; $REF is an image behind client certificates.
set -eEuo pipefail
report() {
	echo "FAILED at line $1: $2"
	systemctl --no-pager --failed
	journalctl --no-pager -u certsd-cri -u registry -u kubelet -u containerd -n 300 | grep -v -e 'loading plugin' | tail -n 60 | cut -c1-400
}
trap 'report $LINENO "$BASH_COMMAND"' ERR
export DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022

say() { echo "== $*"; }
# await COMMAND... waits for something to become so, at most two minutes.
await() {
	for _ in $(seq 1200); do
		if "$@" >/dev/null 2>&1; then return; fi
		read -rt 0.1 <> <(:) || true
	done
	echo "waited in vain for: $*"
	return 1
}
# What nspawn keeps from its guests, and the kubelet sets.
for part in /sys/fs/cgroup/* /proc/sys; do
	mount -o remount,bind,rw "$part" 2>/dev/null || true
done
[ -e /dev/kmsg ] || ln -s null /dev/kmsg

# refused POD: the kubelet tells of it that its image was not had.
refused() { journalctl -u kubelet | grep -F "$1" | grep -oE -m 1 '403 Forbidden|tls: certificate required'; }
# log POD: what it has said.
log() { cat /var/log/pods/default_"$1"-node_*/*/0.log; }
spoke() { log "$1" | grep stdout; }
# pod NAME IMAGE POLICY COMMAND gives the kubelet a pod.
pod() {
	cat >"/etc/kubernetes/manifests/$1.yaml" <<END
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: default}
spec:
  hostNetwork: true
  restartPolicy: Never
  containers: [{name: $1, image: "$2", imagePullPolicy: $3, command: [$4]}]
END
}

say "a node"
mkdir -p /etc/containerd/certs.d /etc/docker/certs.d /etc/kubernetes/manifests /var/lib/kubelet
touch /etc/hosts /etc/resolv.conf
cat >/etc/containerd/config.toml <<'END'
version = 3
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d:/etc/docker/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
END
cat >/var/lib/kubelet/config.yaml <<'END'
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/kubernetes/manifests
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {enabled: true}
  webhook: {enabled: false}
authorization: {mode: AlwaysAllow}
address: 127.0.0.1
failSwapOn: false
failCgroupV1: false
cgroupsPerQOS: false
enforceNodeAllocatable: []
END
cat >/etc/systemd/system/kubelet.service <<'END'
[Unit]
After=containerd.service
[Service]
ExecStart=/usr/local/bin/kubelet --config=/var/lib/kubelet/config.yaml --hostname-override=node
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl restart containerd
containerd --version
kubelet --version
# The sandbox image, which is on every node: it waits.
sandbox=$(containerd config dump | sed -n "s/^ *sandbox = ['\"]\(.*\)['\"]/\1/p")
mkdir /image
tar -chf /image/layer.tar -C / bin/sleep $(ldd /bin/sleep | grep -o '/lib[^ ]*' | cut -c2-)
echo "{\"os\": \"linux\", \"architecture\": \"amd64\", \"config\": {\"Entrypoint\": [\"/bin/sleep\", \"infinity\"]},
 \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:$(sha256sum </image/layer.tar | cut -d' ' -f1)\"]}}" >/image/config.json
echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$sandbox\"], \"Layers\": [\"layer.tar\"]}]" >/image/manifest.json
tar -C /image -cf /image.tar manifest.json config.json layer.tar
ctr -n k8s.io images import /image.tar >/dev/null

# The registry, and its directory.
dpkg-deb -x /packages/a/certsd_*_amd64.deb /registry
systemd-run -q --unit registry /registry/usr/bin/certsd demo --serve /run/demo
await test -s /run/demo/ref
REF=$(cat /run/demo/ref)
via=$(cut -d/ -f1 /run/demo/ref)
cp -a "/run/demo/certs.d/$via" "/etc/docker/certs.d/$via"

systemctl enable -q --now kubelet
pod runs "$sandbox" Never '"/bin/sleep", "infinity"'
pod app "$REF" Always '"/certsd", "demo", "--greet"'
await refused default/app-node
say "refused: $(refused default/app-node)"
await sh -c 'test -n "$(crictl -r unix:///run/containerd/containerd.sock ps --name runs -q)"'
runs=$(crictl -r unix:///run/containerd/containerd.sock ps --name runs -q)
still() { test "$runs" = "$(crictl -r unix:///run/containerd/containerd.sock ps --name runs -q)"; }

say "the package"
cd /packages/a
@DOC install.md: To install@
typed=$(
	@DOC kubernetes.md: A node with systemd@
)
say "with the package: $typed"
@DOC kubernetes.md: A node with systemd #2@
await spoke app
say "with the package: the pod says: $(log app | cut -d' ' -f4-)"
await systemctl is-active kubelet
still && say "running pods went on"

say "back"
@DOC kubernetes.md: A node with systemd #4@
if grep imageServiceEndpoint /var/lib/kubelet/config.yaml; then false; fi
pod later "$REF" Always '"/certsd", "demo", "--greet"'
await refused default/later-node
say "back: refused: $(refused default/later-node)"
apt-get purge -y certsd >/dev/null
hash -r
if command -v certsd; then false; fi

say "the source"
mkdir -p /source/bin
cp /registry/usr/bin/certsd /source/bin/
cd /source
@DOC kubernetes.md: A node with systemd #3@
typed=$(
	@DOC kubernetes.md: A node with systemd@
)
say "from the source: $typed"
@DOC kubernetes.md: A node with systemd #2@
await spoke later
say "from the source: the pod says: $(log later | cut -d' ' -f4-)"
still
say done
