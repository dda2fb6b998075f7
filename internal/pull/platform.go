package pull

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platforms say what is taken of an image that is there for several. The zero
// value is what runs on this machine.
type Platforms struct {
	// All takes everything.
	All bool
	// Only takes these, each of which must be there.
	Only []ocispec.Platform
}

// ParsePlatforms reads platforms as people write them, each OS/ARCH[/VARIANT] or
// a part of that, also several with commas.
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

// host is the platform whose images run here. On a Mac they run in a Linux.
func host() ocispec.Platform {
	p := platforms.DefaultSpec()
	if runtime.GOOS != "windows" {
		p.OS = "linux"
	}
	return p
}

// wanted are the platforms to look for in an index.
func (p Platforms) wanted() []ocispec.Platform {
	if len(p.Only) > 0 {
		return p.Only
	}
	return []ocispec.Platform{host()}
}

// best is the entry that fits a platform best, -1 if none does.
func best(want ocispec.Platform, entries []ocispec.Descriptor) int {
	matcher := platforms.Only(want)
	found := -1
	for i, e := range entries {
		if e.Platform == nil || !matcher.Match(*e.Platform) {
			continue
		}
		if found < 0 || matcher.Less(*e.Platform, *entries[found].Platform) {
			found = i
		}
	}
	return found
}

// MissingPlatformError tells that an image is not there for a platform.
type MissingPlatformError struct {
	// Ref is the image, Want the platform.
	Ref  string
	Want ocispec.Platform
	// Has are the platforms it is there for.
	Has []string
}

// Error names the image and what there is of it.
func (e *MissingPlatformError) Error() string {
	has := "none that is named"
	if len(e.Has) > 0 {
		has = strings.Join(e.Has, ", ")
	}
	return fmt.Sprintf("%s is not there for %s: it is for %s: choose with --platform, or take --all-platforms",
		e.Ref, platforms.Format(e.Want), has)
}

func names(entries []ocispec.Descriptor) []string {
	var list []string
	for _, e := range entries {
		if e.Platform != nil && e.Platform.OS != "unknown" {
			list = append(list, platforms.Format(*e.Platform))
		}
	}
	return list
}
