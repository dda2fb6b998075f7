package resolver

import (
	"fmt"

	"github.com/certsd/containerd-certsd/certsd"
)

// Settings are those of [Hosts] as people write them. Empty ones stand for the
// default.
type Settings struct {
	// SystemRoots is "fallback" or "append".
	SystemRoots string
	// RotateOn are statuses such as "403" and classes such as "5xx".
	RotateOn []string
	// RegistryV1 is "never", "configured" or "always".
	RegistryV1 string
	// Schema1 converts schema 1 manifests instead of refusing them.
	Schema1 bool
}

// Hosts have these settings. An error begins with the key that is wrong, as all
// configuration files call it.
func (s Settings) Hosts() (*Hosts, error) {
	switch s.SystemRoots {
	case "", "fallback", "append":
	default:
		return nil, fmt.Errorf(`system_roots: %q is neither "fallback" nor "append"`, s.SystemRoots)
	}
	rotateOn, err := certsd.ParseRotateOn(s.RotateOn)
	if err != nil {
		return nil, err // it names rotate_on
	}
	v1, err := ParseV1Policy(s.RegistryV1)
	if err != nil {
		return nil, fmt.Errorf("registry_v1: %w", err)
	}
	return &Hosts{SystemRoots: s.SystemRoots, RotateOn: rotateOn, RegistryV1: v1, NoSchema1: !s.Schema1}, nil
}
