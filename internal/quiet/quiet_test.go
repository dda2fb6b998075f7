package quiet

import (
	"bytes"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/log"
)

// TestWithout also opens a content store of containerd's, which says the one thing
// on most file systems.
func TestWithout(t *testing.T) {
	var out bytes.Buffer
	log.L.Logger.SetOutput(&out)
	said := func() string {
		t.Helper()
		out.Reset()
		log.L.Warn(FSVerity)
		log.L.Warnf("Configuration migrated from version %d, use this", 3)
		log.L.Warnf("Configuration migrated from version %d, use that", 2)
		return out.String()
	}
	before := said()
	for _, want := range []string{FSVerity, "use this", "use that"} {
		if !strings.Contains(before, want) {
			t.Fatalf("without this package %q is not said: %s", want, before)
		}
	}
	Without(FSVerity, ConfigVersion)
	got := said()
	if strings.Contains(got, FSVerity) || strings.Contains(got, "use this") {
		t.Errorf("still said: %s", got)
	}
	if !strings.Contains(got, "use that") {
		t.Errorf("another line is lost: %q", got)
	}
	out.Reset()
	if _, err := local.NewStore(t.TempDir()); err != nil || out.Len() > 0 {
		t.Errorf("a store that is opened says %q, %v", &out, err)
	}
}
