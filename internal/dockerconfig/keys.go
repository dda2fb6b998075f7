package dockerconfig

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// indexKey is Docker's key for its own registry.
const indexKey = "https://index.docker.io/v1/"

// key is a parsed key of a file.
type key struct {
	text string
	// host is the canonical host, one for all names of Docker's registry.
	host string
	// path is the namespace that the entry is for, as podman writes it; empty for all.
	path string
}

// parseKey parses a key if it can be a registry's. The path of a URL, and the version
// of the API in an old key, are not namespaces.
func parseKey(text string) (key, bool) {
	rest, isURL := text, false
	for _, scheme := range []string{"https://", "http://"} {
		if after, ok := strings.CutPrefix(text, scheme); ok {
			rest, isURL = after, true
		}
	}
	host, path, _ := strings.Cut(rest, "/")
	path = strings.Trim(path, "/")
	if isURL || path == "v1" || path == "v2" {
		path = ""
	}
	host, err := hostname.Canonical(host)
	if err != nil {
		return key{}, false
	}
	return key{text: text, host: serverKey(host), path: path}, true
}

// serverKey returns the common key for all canonical names of a server.
func serverKey(canonical string) string {
	server := hostname.SpellingKey(canonical)
	if hostname.IsDockerHub(server) {
		return hostname.DockerHub
	}
	return server
}

// nameFor returns Docker's name for a host in its credential stores.
func nameFor(host string) string {
	if canonical, err := hostname.Canonical(host); err == nil && serverKey(canonical) == hostname.DockerHub {
		return indexKey
	}
	return host
}

// covers reports whether an entry's namespace is the repository or contains it.
func (k key) covers(repository string) bool {
	return k.path == "" || repository == k.path || strings.HasPrefix(repository, k.path+"/")
}

// matching returns the keys for a host and a repository, the most specific first: a
// longer namespace before a shorter one, then Docker's own key, then the host as given,
// then other spellings in sorted order.
func matching(keys iter.Seq[string], host, repository string) []string {
	canonical, err := hostname.Canonical(host)
	if err != nil {
		return nil
	}
	var found []key
	for text := range keys {
		if k, ok := parseKey(text); ok && k.host == serverKey(canonical) && k.covers(repository) {
			found = append(found, k)
		}
	}
	rank := func(k key) int {
		switch {
		case k.text == nameFor(host):
			return 0
		case k.text == host:
			return 1
		case k.text == canonical:
			return 2
		default:
			return 3
		}
	}
	slices.SortFunc(found, func(a, b key) int {
		return cmp.Or(len(b.path)-len(a.path), rank(a)-rank(b), strings.Compare(a.text, b.text))
	})
	texts := make([]string, 0, len(found))
	for _, k := range found {
		texts = append(texts, k.text)
	}
	return texts
}

// helperFor returns the helper for a host's credentials, and the name to ask it for;
// empty if the entries hold them.
func (c *config) helperFor(host string) (helper, name string) {
	for _, text := range matching(maps.Keys(c.CredHelpers), host, "") {
		return c.CredHelpers[text], text
	}
	return c.CredsStore, nameFor(host)
}

// entryFor returns the credentials in the first entry that has some.
func (c *config) entryFor(host, repository string) (user, secret string, err error) {
	key := c.entryKey(host, repository)
	user, secret, err = c.Auths[key].credentials()
	if err != nil {
		return "", "", fmt.Errorf("auths: %q: %w", key, err)
	}
	return user, secret, nil
}

// entryKey returns the key of the first entry that has credentials, empty for none.
func (c *config) entryKey(host, repository string) string {
	for _, text := range matching(maps.Keys(c.Auths), host, repository) {
		if !c.Auths[text].empty() {
			return text
		}
	}
	return ""
}
