# Somebody types what is marked DOC on a node whose containerd gets no image.
@KUBELET@

say "a node"
node
registry
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
say "with the package: $(journalctl -u certsd-cri | grep -F "$REF" | grep -o 'over=[a-z]*' | head -n 1)"
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
