package hostname

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// DefaultDirectory is the directory in a root for registries without their own.
const DefaultDirectory = "_default"

// DockerHub is the name of Docker's registry in references, DockerHubServer the host
// that serves it.
const (
	DockerHub       = "docker.io"
	DockerHubServer = "registry-1.docker.io"
)

// IsDockerHub reports whether a host is one of the names of Docker's registry.
func IsDockerHub(host string) bool {
	switch strings.TrimSuffix(host, ":443") {
	case DockerHub, DockerHubServer, "index.docker.io", "registry.hub.docker.com":
		return true
	default:
		return false
	}
}

var portInName = regexp.MustCompile(`^(.+)_([0-9]+)_$`)

// OfDirectory returns the canonical name of the registry that a directory is named
// after, in any spelling: see [Canonical]. It returns an error for a name that cannot
// be a registry's, such as _default.
func OfDirectory(dir string) (string, error) {
	return Canonical(portInName.ReplaceAllString(dir, "$1:$2"))
}

// unclosed matches the name of a directory that lacks the underscore after its port.
var unclosed = regexp.MustCompile(`^(.+[^:])_([0-9]+)$`)

// Unclosed reports whether a directory's name lacks the underscore after its port,
// taking a number at its end for a port, and returns the name with it.
func Unclosed(dir string) (closed string, is bool) {
	if !unclosed.MatchString(dir) {
		return "", false
	}
	return dir + "_", true
}

// ToCreate returns the name of the directory to create for a registry, without HTTPS's
// default port.
func ToCreate(registry string) string {
	name, port, err := Split(SpellingKey(registry))
	if err != nil {
		return registry
	}
	return withPort(name, port)[0]
}

// Place holds the names that a registry's directory may have in a root.
type Place struct {
	// Registry is the canonical name, empty for _default.
	Registry string
	// Suffix is _.example.com[:port] for directories that serve every host below a
	// domain, empty for others.
	Suffix string
	// Names are the canonical names of the directory, in order of precedence; Keys are
	// the keys of its other spellings: see [SpellingKey].
	Names, Keys []string
}

// PlaceOf returns the place of the registry with a canonical name.
func PlaceOf(registry string) Place {
	p := Place{Registry: registry, Names: Directories(registry), Keys: []string{SpellingKey(registry)}}
	if registry == DockerHub {
		p.Names = append(p.Names, DockerHubServer)
		p.Keys = append(p.Keys, DockerHubServer)
	}
	return p
}

// DefaultPlace is the place of the _default directories.
var DefaultPlace = Place{Names: []string{DefaultDirectory}}

// In returns the paths in a root where the directory may be, in order of precedence.
// spelt holds the names in the root that are not canonical, by key.
func (p Place) In(root string, spelt map[string][]string) []string {
	paths := make([]string, 0, len(p.Names))
	for _, name := range p.Names {
		paths = append(paths, filepath.Join(root, name))
	}
	for _, key := range p.Keys {
		for _, name := range spelt[key] {
			paths = append(paths, filepath.Join(root, name))
		}
	}
	return paths
}

// Directories returns the canonical names that a directory for a registry may have, in
// the order in which they are tried in each root: host_port_ and host:port, and if the
// port is HTTPS's default also the names without it, or with it if it is not given.
// Other spellings are found in the root's listing.
//
// On Windows, where file names cannot contain a colon, the colon of host:port is left
// out, as containerd and Docker do.
func Directories(registry string) []string { return directories(runtime.GOOS, registry) }

func directories(goos, registry string) []string {
	name, port, err := Split(registry)
	if err != nil {
		return nil
	}
	names := withPort(name, port)
	switch port {
	case "443":
		names = append(names, name)
	case "":
		names = append(names, withPort(name, "443")...)
	}
	if goos == "windows" {
		for i := range names {
			names[i] = strings.ReplaceAll(names[i], ":", "")
		}
	}
	return unique(names)
}

func withPort(name, port string) []string {
	if port == "" {
		return []string{name}
	}
	return []string{name + "_" + port + "_", name + ":" + port}
}

func unique(names []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// Spellings finds the names in a root that are not canonical spellings of the registry
// they mean, by [SpellingKey], and all that serve every host below a domain. There are
// few, if any. Names with a port after an underscore come first, as among the canonical
// ones; each kind is in bytewise order.
func Spellings(names []string) map[string][]string {
	var spelt map[string][]string
	for _, name := range names {
		registry, err := OfDirectory(name)
		if err != nil {
			// Names for a domain never count as canonical: they are found only here.
			registry, _ = OfSuffixDirectory(name)
		}
		if registry == "" || err == nil && slices.Contains(directories("", registry), name) {
			continue
		}
		if spelt == nil {
			spelt = make(map[string][]string)
		}
		key := SpellingKey(registry)
		spelt[key] = append(spelt[key], name)
	}
	for names := range maps.Values(spelt) {
		slices.SortFunc(names, func(a, b string) int {
			if x, y := strings.HasSuffix(a, "_"), strings.HasSuffix(b, "_"); x != y {
				return map[bool]int{true: -1, false: 1}[x]
			}
			return strings.Compare(a, b)
		})
	}
	return spelt
}

// SpellingKey returns the common key of canonical names that share their directories:
// with the default port and without.
func SpellingKey(registry string) string { return strings.TrimSuffix(registry, ":443") }

// Mentions reports whether a directory's name may concern a registry and needs a closer
// look: it contains the registry's host, or that is an IPv6 address, which has many
// spellings.
func Mentions(dir, registry string) bool {
	if strings.HasPrefix(registry, "[") {
		return true
	}
	name, _, _ := strings.Cut(registry, ":")
	return strings.Contains(strings.ToLower(dir), name)
}

// OtherPort reports whether a directory is named after another port of a registry's
// host, and which.
func OtherPort(dir, registry string) (port string, is bool) {
	other, err := OfDirectory(dir)
	if err != nil {
		return "", false
	}
	name, port, _ := Split(other)
	want, wantPort, _ := Split(registry)
	port, wantPort = cmp.Or(port, "443"), cmp.Or(wantPort, "443")
	return port, name == want && port != wantPort
}

// misspelt matches the forms in which people misspell host:port.
var misspelt = regexp.MustCompile(`^(?:https?[:_]*/*)?(.*?)(?:[:_-]([0-9]+)_?)?/?$`)

// LooksLike reports whether a directory's name may be a misspelling of a registry's.
func LooksLike(dir, registry string) bool {
	parts := misspelt.FindStringSubmatch(dir)
	if parts == nil {
		return false
	}
	name := parts[1]
	if parts[2] != "" {
		name += ":" + parts[2]
	}
	other, err := Canonical(name)
	return err == nil && SpellingKey(other) == SpellingKey(registry)
}
