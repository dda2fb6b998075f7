package imageservice

import (
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

// TestStatusIsOfThisProcess: containerd may have the same service.
func TestStatusIsOfThisProcess(t *testing.T) {
	t.Parallel()
	b := startBackend(t, filepath.Join(t.TempDir(), "b"))
	root := t.TempDir()
	st, err := statusrpc.Get(t.Context(), front(t, b.address, root))
	must(t, err)
	if st.Daemon != status.ImageService || st.Containerd != b.address || st.Roots[0] != root || st.CRI != status.CRIUses {
		t.Errorf("%+v", st)
	}
	if len(b.seen) != 0 {
		t.Errorf("containerd was asked for %v", b.seen)
	}
}
