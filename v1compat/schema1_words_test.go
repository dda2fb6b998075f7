package v1compat

import (
	"strings"
	"testing"
)

// TestBrokenSchema1IsToldInWords about the manifest, not about Go's types.
func TestBrokenSchema1IsToldInWords(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"schemaVersion":1,"signatures":3}`,
		`{"schemaVersion":1,"fsLayers":[{"blobSum":3}],"history":[{"v1Compatibility":"{}"}]}`,
		`{"schemaVersion":1,"fsLayers":[],"history":{}}`,
		`{"schemaVersion":1,"fsLayers":[],"history":[{"v1Compatibility":{}}]}`,
		`[]`,
		`{"schemaVersion":1,"fsLayers":[{"blobSum":"tarsum.dev+sha256:aa"}],"history":[{"v1Compatibility":"{}"}]}`,
		`{"schemaVersion":1,"fsLayers":[],"history":[]}`,
		`{"schemaVersion":1,"fsLayers":[],"history":[],"signatures":[{"protected":"%"}]}`,
		`<html>`,
	} {
		_, err := ParseSchema1([]byte(body), "")
		if err == nil || strings.Contains(err.Error(), "Go ") || strings.Contains(err.Error(), "v1compat") || strings.Count(err.Error(), "schema 1 manifest") != 1 ||
			strings.Contains(err.Error(), "invalid argument") || !strings.HasSuffix(err.Error(), ": "+NextForUnusable) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
