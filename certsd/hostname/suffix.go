package hostname

import (
	"net/netip"
	"strings"
)

// suffixMark begins the name of a directory that serves every host below a domain.
// No registry's name begins with it: see [Canonical].
const suffixMark = "_."

// SuffixPlaces returns the places of the directories that serve a registry because it
// is below a domain, the longest domain first: for a.b.example:5000 they are
// _.b.example:5000 and _.example:5000. There are none for an address or a name without
// a dot.
func SuffixPlaces(registry string) []Place {
	name, port, err := Split(registry)
	if err != nil || strings.HasPrefix(name, "[") {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	var places []Place
	for {
		_, domain, found := strings.Cut(name, ".")
		if !found {
			return places
		}
		name = domain
		suffix := suffixMark + joinPort(domain, port)
		places = append(places, Place{Suffix: suffix, Names: suffixNames(domain, port), Keys: []string{SpellingKey(suffix)}})
	}
}

// OfSuffixDirectory returns the canonical form, _.example.com[:port], of the name of a
// directory that serves every host below a domain; ok is false for another kind of
// directory.
func OfSuffixDirectory(dir string) (suffix string, ok bool) {
	rest, ok := strings.CutPrefix(dir, suffixMark)
	if !ok {
		return "", false
	}
	canonical, err := OfDirectory(rest)
	if err != nil || strings.HasPrefix(canonical, "[") {
		return "", false
	}
	name, _, _ := strings.Cut(canonical, ":")
	if _, err := netip.ParseAddr(name); err == nil {
		return "", false
	}
	return suffixMark + canonical, true
}

// DomainOf returns the domain, with its port, in a result of [OfSuffixDirectory].
func DomainOf(suffix string) string { return strings.TrimPrefix(suffix, suffixMark) }

// suffixNames returns the names of a directory for a domain, in the same order as those
// of a directory for a host.
func suffixNames(domain, port string) []string {
	names := Directories(joinPort(domain, port))
	for i := range names {
		names[i] = suffixMark + names[i]
	}
	return names
}

func joinPort(name, port string) string {
	if port == "" {
		return name
	}
	return name + ":" + port
}
