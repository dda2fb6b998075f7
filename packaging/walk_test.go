//go:build linux

package packaging

import (
	"path/filepath"
	"testing"
)

// newKubernetes is a machine with a stock containerd and a kubelet.
func newKubernetes(t *testing.T) *machine {
	t.Helper()
	m := newDebian(t)
	m.binds = map[string]string{
		"/usr/bin/containerd":              packagingTool(t, "containerd23-*"),
		"/usr/bin/ctr":                     packagingTool(t, "ctr23-*"),
		"/usr/bin/containerd-shim-runc-v2": packagingTool(t, "shim23-*"),
		"/usr/local/bin/kubelet":           packagingTool(t, "kubelet-*"),
	}
	return m
}

// TestWalk is a Kubernetes node with a stock containerd, on which somebody types what
// docs/kubernetes.md says: with the package, back, and from the source.
func TestWalk(t *testing.T) {
	t.Parallel()
	m := newKubernetes(t)
	m.binds["/source/packaging/systemd"] = filepath.Join(here(t), "systemd")
	out := m.boot(t, script(t, "walk.sh", "2.4"))
	t.Log(out)
	expect(t, "walk", out,
		"containerd github.com/containerd/containerd/v2 2.3.7", "Kubernetes v1.37.2",
		"refused: tls: certificate required",
		"with the package: Image is up to date for sha256:", "with the package: the pod says: Hello from an image that lives behind client certificates.",
		"with the package: over=loopback",
		"running pods went on",
		"back: refused: tls: certificate required",
		"from the source: Image is up to date for sha256:", "from the source: the pod says: Hello from an image that lives behind client certificates.",
		"== done")
}
