package imageservice

import (
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
)

// TestALeaseThatContainerdWasNotThereFor is removed by the next pull.
func TestALeaseThatContainerdWasNotThereFor(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	s, _ := n.serve(t)
	_, release, err := s.target.leases.hold(inK8s(t))
	must(t, err)
	n.stop()
	release()
	n.start(t)
	if left := n.leases(t); len(left) != 1 {
		t.Fatalf("containerd has %v", left)
	}
	ctx, release, err := s.target.leases.hold(inK8s(t))
	must(t, err)
	now, _ := leases.FromContext(ctx)
	if left := n.leases(t); len(left) != 1 || left[0].ID != now {
		t.Errorf("%v are left, and %s is held", left, now)
	}
	release()
	if left := n.leases(t); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}
