package gateway

import "github.com/certsd/containerd-certsd/internal/settings"

// The types of the fields of a [Config].
type (
	// Duration is a time.Duration, written "90s" or "1h30m".
	Duration = settings.Duration
	// Size is a number of bytes, written "512MiB", "20GiB" or "0".
	Size = settings.Size
	// Setting is one key of a Config.
	Setting = settings.Setting
)

// Load reads a file into c, overriding its values. Unknown keys and values of a wrong
// type are errors that name file, line and key.
func (c *Config) Load(file string) error { return settings.Load(file, c) }

// Keys returns all keys, in the order of the fields.
func (c *Config) Keys() []Setting { return settings.Of(c) }
