package docs

import (
	"os/exec"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// TestAlertsFire has Prometheus's own tool say when the alerts about what ends, what
// is from memory and who is gone fire, and when they do not.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("promtool")
	if err != nil {
		citest.Missing(t, err.Error())
	}
	out, err := exec.CommandContext(t.Context(), path, "test", "rules", "testdata/alerts.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
