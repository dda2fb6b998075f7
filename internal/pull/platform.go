package pull

import (
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/choice"
)

// Platforms selects from a multi-platform image. The zero value selects what runs on
// this machine.
type Platforms struct {
	// All selects everything.
	All bool
	// Only selects these platforms, each of which must be there.
	Only []ocispec.Platform
}

// ParsePlatforms parses platforms as people write them, each OS/ARCH[/VARIANT] or a
// part of that, or several separated by commas.
func ParsePlatforms(list []string) ([]ocispec.Platform, error) {
	var parsed []ocispec.Platform
	for _, item := range list {
		for name := range strings.SplitSeq(item, ",") {
			p, err := platforms.Parse(strings.TrimSpace(name))
			if err != nil {
				return nil, fmt.Errorf("%q is not a platform: write OS/ARCH[/VARIANT], such as linux/arm64", name)
			}
			parsed = append(parsed, platforms.Normalize(p))
		}
	}
	return parsed, nil
}

// wanted returns the platforms to look for in an index.
func (p Platforms) wanted() []ocispec.Platform {
	if len(p.Only) > 0 {
		return p.Only
	}
	return []ocispec.Platform{choice.Host()}
}

// MissingPlatformError reports that an image does not support a platform.
type MissingPlatformError = choice.MissingPlatformError

// DigestError reports content that does not match its digest.
type DigestError = choice.DigestError
