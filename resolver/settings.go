package resolver

import (
	"fmt"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/keys"
)

// Settings are the settings of [Hosts] as users write them, in all configuration
// files and flags of this module: the tag toml is the key, the tag usage its help,
// with a quoted word for the value. Empty values mean the default.
type Settings struct {
	// SystemRoots is "fallback", the default, to trust the system's CA roots only
	// where a directory has none, or "append" to trust them always.
	SystemRoots certsd.SystemRoots `toml:"system_roots" usage:"trust the system CA roots in 'MODE': fallback, if no others are configured, or append, always"`

	// RotateOn lists the answers after which the next certificate is presented:
	// statuses and classes of statuses. Default: "403" and "5xx".
	RotateOn []string `toml:"rotate_on" usage:"present the next certificate on 'STATUS': 403, 5xx, ..."`

	// RegistryV1 is "never", "configured" (the default), for registries with a
	// directory of their own, or "always".
	RegistryV1 V1Policy `toml:"registry_v1" usage:"speak Registry v1 with 'WHICH' registries: never, configured (own directory) or always"`

	// Schema1 converts schema 1 manifests (the default) instead of refusing them.
	Schema1 bool `toml:"schema1" usage:"convert schema 1 manifests; --schema1=false refuses them"`

	// SuffixDirectories lets a directory _.example.com serve every host below
	// example.com that has no directory of its own. Default: no.
	SuffixDirectories bool `toml:"suffix_directories" usage:"let a directory _.example.com serve every host below example.com that has no directory of its own"`

	// Signer is the command of the helper that signs for keys in PKCS #11 tokens.
	// Default: none.
	Signer []string `toml:"signer" usage:"use the helper 'COMMAND' to sign with keys in PKCS #11 tokens; repeat the flag for each of its arguments"`
}

// DefaultSettings returns the default settings.
func DefaultSettings() Settings {
	return Settings{
		SystemRoots: certsd.FallbackRoots,
		RotateOn:    []string{"403", "5xx"},
		RegistryV1:  V1Configured,
		Schema1:     true,
		Signer:      []string{}, // as written in files, not nil
	}
}

// Hosts returns Hosts with these settings that search a list of directories,
// separated as in $PATH; empty means the default ones. key is the list's key. Errors
// begin with the invalid key, as named in all configuration files.
func (s Settings) Hosts(key, list string) (*Hosts, error) {
	system, err := hostdir.ParseSystemRoots(string(s.SystemRoots))
	if err != nil {
		return nil, fmt.Errorf("system_roots: %w", err)
	}
	rotateOn, err := certsd.ParseRotateOn(s.RotateOn)
	if err != nil {
		return nil, err // it names the key
	}
	v1, err := parseV1Policy(string(s.RegistryV1))
	if err != nil {
		return nil, fmt.Errorf("registry_v1: %w", err)
	}
	roots := certsd.DefaultRoots()
	if list != "" {
		if err := hostdir.CheckRoots(list); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		roots = certsd.ParseRoots(list)
	}
	open, err := keys.Opener(s.Signer)
	if err != nil {
		return nil, err
	}
	return &Hosts{Roots: roots, SystemRoots: system, Keys: open, RotateOn: rotateOn, RegistryV1: v1, NoSchema1: !s.Schema1, SuffixDirectories: s.SuffixDirectories}, nil
}
