package resolver_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestTagOfTheImageItself: somebody tagged an index by its digest, as the
// fallback of the specification tags the list of what refers to it. Its own
// entries do not refer to it.
func TestTagOfTheImageItself(t *testing.T) {
	t.Parallel()
	parts := newSignatures(t, digest.FromString("something else"), 2)
	body := index(parts.list...)
	parts.subject = digest.FromBytes(body)
	r := newRegistry(t, parts.tagged(body))
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	hosts := newHosts(t, root)
	var warnings []string
	hosts.Hooks.OnWarning = func(_ string, problem error) { warnings = append(warnings, problem.Error()) }
	got, err := fetchReferrers(t, hosts, r.Host+"/app:1", parts.subject)
	if err != nil || len(got) > 0 {
		t.Errorf("the parts of the image refer to it: %v, %v", got, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "is the image itself") {
		t.Errorf("warnings %q", warnings)
	}
}
