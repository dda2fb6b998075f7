package discreet_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/discreet"
)

// TestKeptErrors are those that were logged, as errors where they came as ones, and
// without secrets where there is only a text.
func TestKeptErrors(t *testing.T) {
	t.Parallel()
	ctx, kept := discreet.Kept(t.Context())
	cause := errors.New("cause")
	log.G(ctx).WithError(cause).Error("with a cause")
	log.G(ctx).Error("GET https://me:word@blobs.test/b?X-Signature=sesame failed")
	log.G(ctx).Warn("no error")
	all := kept()
	if len(all) != 2 || !errors.Is(all[0], cause) {
		t.Fatalf("kept are %v", all)
	}
	if text := all[1].Error(); !strings.Contains(text, "blobs.test") || strings.Contains(text, "sesame") || strings.Contains(text, "word") {
		t.Errorf("kept is %s", text)
	}
}
