package resolver

import (
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

func TestDockerHubIsNeverAskedInV1(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"docker.io":                false,
		"registry-1.docker.io":     false,
		"registry-1.docker.io:443": false,
		"index.docker.io":          false,
		"registry.docker.io.test":  true,
	} {
		for _, policy := range []V1Policy{"", V1Configured, V1Always} {
			h := &Hosts{RegistryV1: policy}
			if got := h.AllowsV1(&certsd.Host{Name: host, Own: true, RegistryV1: string(V1Always)}); got != want {
				t.Errorf("%s with %q: %v", host, policy, got)
			}
		}
	}
}

func TestRegistryV1PoliciesAreReadFromTheConfiguration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]V1Policy{"": V1Configured, "never": V1Never, "configured": V1Configured, "always": V1Always} {
		if got, err := ParseV1Policy(text); got != want || err != nil {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	if _, err := ParseV1Policy("sometimes"); err == nil || err.Error() != `"sometimes" is none of "never", "configured" and "always"` {
		t.Errorf("got %v", err)
	}
}
