# A node on which a pod installs the image service. installed.sh is its next start.
@KUBELET@

say "a node"
node
registry
systemctl enable -q kubelet
files >/root/before
systemctl start kubelet

say "the pod"
ctr -n k8s.io images import /packages/a/certsd_*_oci.tar >/dev/null
cp /installer/first.json /etc/kubernetes/manifests/installer.json
await test -L /etc/systemd/system/multi-user.target.wants/certsd-cri.service
echo "it has $(rights)"
# It starts nothing.
systemctl daemon-reload
echo "the unit is $(systemctl is-enabled certsd-cri.service), $(systemctl is-active certsd-cri.service || true)"
if crictl -i unix:///run/certsd/cri.sock -r unix:///run/containerd/containerd.sock pull "$REF" 2>/dev/null; then false; fi

@DOC kubernetes.md: From the cluster@
await systemctl is-active certsd-cri.service
say "the image service is $(program certsd-cri), $(version)"
@DOC kubernetes.md: A node with systemd #2@
pod app "$REF" Always '"/certsd", "demo", "--greet"'
await spoke app
say "the pod says: $(log app | cut -d' ' -f4-)"

# The node goes off as it is; its registry is another one the next time.
rm /etc/kubernetes/manifests/app.yaml
rm -r "/etc/docker/certs.d/$via"
say done
