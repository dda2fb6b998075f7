# What the tests of a Kubernetes node with a stock containerd begin with. They run as a
# unit; what is marked DOC are commands of the documents.
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

program() { readlink "/proc/$(systemctl show -p MainPID --value "$1")/exe"; }

# node makes one: containerd and the kubelet, which is not started.
node() {
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
evictionHard: {nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}
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
	sandbox
}

# sandbox brings the sandbox image, which is on every node: it waits.
sandbox() {
	sandbox=$(containerd config dump | sed -n "s/^ *sandbox = ['\"]\(.*\)['\"]/\1/p")
	mkdir -p /image
	tar -chf /image/layer.tar -C / bin/sleep $(ldd /bin/sleep | grep -o '/lib[^ ]*' | cut -c2-)
	echo "{\"os\": \"linux\", \"architecture\": \"amd64\", \"config\": {\"Entrypoint\": [\"/bin/sleep\", \"infinity\"]},
	 \"rootfs\": {\"type\": \"layers\", \"diff_ids\": [\"sha256:$(sha256sum </image/layer.tar | cut -d' ' -f1)\"]}}" >/image/config.json
	echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$sandbox\"], \"Layers\": [\"layer.tar\"]}]" >/image/manifest.json
	tar -C /image -cf /image.tar manifest.json config.json layer.tar
	ctr -n k8s.io images import /image.tar >/dev/null
}

# registry starts one, and makes its directory; $REF is an image in it, behind client
# certificates.
registry() {
	[ -e /registry ] || dpkg-deb -x /packages/a/certsd_*_amd64.deb /registry
	systemd-run -q --unit registry /registry/usr/bin/certsd demo --serve /run/demo
	await test -s /run/demo/ref
	REF=$(cat /run/demo/ref)
	via=$(cut -d/ -f1 /run/demo/ref)
	cp -a "/run/demo/certs.d/$via" "/etc/docker/certs.d/$via"
}

# files are those of the node's root where somebody may install something, without the
# directory of the registry, which is another one at each start.
files() {
	find /etc /opt /usr /srv /var/lib -xdev -regextype posix-extended \
		-regex '/(etc/docker/certs.d/.*|usr/(local/bin|libexec/kubernetes)(/.*)?|var/lib/(kubelet|containerd|cni|dpkg|apt|systemd)/.*)' -prune -o -printf '%M %u:%g %p %l\n' | sort -k3
	find /etc /opt -xdev -type f ! -path '/etc/docker/*' ! -path /etc/machine-id -print0 | sort -z | xargs -0r sha256sum
}
# version is what the image service is of, and not what is in its place now.
version() { "/proc/$(systemctl show -p MainPID --value certsd-cri)/exe" --version; }
# rights are those of the pod that installs.
rights() {
	local c=(crictl -r unix:///run/containerd/containerd.sock) id
	await sh -c 'test -n "$(crictl -r unix:///run/containerd/containerd.sock ps --name install -q)"'
	id=$("${c[@]}" ps --name install -q)
	awk '/^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):/ { print $1, $2 }' "/proc/$("${c[@]}" inspect -o go-template --template '{{.info.pid}}' "$id")/status" | xargs
}
