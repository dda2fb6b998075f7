package migrate

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// criConfig is the registry part of containerd's configuration.
type criConfig struct {
	// mirrors are the endpoints by registry, "*" for registries without any.
	mirrors map[string]criMirror
	// tls are the TLS settings by host[:port] of an endpoint.
	tls map[string]criTLS
	// deprecated are the keys that the new tree replaces.
	deprecated []place
	// file is the main file. registry is the place of the settings, nil if there are
	// none; configPath is their config_path.
	file       string
	registry   *place
	configPath string
}

type criMirror struct {
	at        place
	endpoints []*endpoint
}

// criTLS is a [configs."HOST".tls] table.
type criTLS struct {
	at         place
	skipVerify bool
	// ca, cert and key are files, caAt and so on the places that name them.
	ca, cert, key       string
	caAt, certAt, keyAt place
}

var (
	registryKeys = []string{"config_path", "mirrors", "configs", "auths", "headers"}
	tlsKeys      = []string{"insecure_skip_verify", "ca_file", "cert_file", "key_file"}
	authKeys     = []string{"username", "password", "auth", "identitytoken"}
)

// readCRI reads containerd's configuration files. They must not import what is written
// to output later.
func readCRI(files []string, output string, n *notes) (criConfig, error) {
	cri := criConfig{mirrors: map[string]criMirror{}, tls: map[string]criTLS{}, file: "/etc/containerd/config.toml"}
	if len(files) > 0 {
		cri.file = files[0]
	}
	doc, patterns, err := loadRegistry(files)
	if err == nil {
		err = swallows(patterns, output)
	}
	if doc == nil || err != nil {
		return cri, err
	}
	r := criReader{registry: doc.table(), notes: n, into: &cri}
	r.only(r.registry, registryKeys)
	r.mirrors()
	r.configs()
	r.auths()
	r.rest()
	if len(doc.errs) > 0 {
		return cri, doc.errs[0]
	}
	return cri, nil
}

// criReader reads one registry table.
type criReader struct {
	registry table
	notes    *notes
	into     *criConfig
}

// only notes keys that containerd does not know.
func (r criReader) only(t table, known []string) {
	for _, name := range t.names() {
		if !slices.Contains(known, name) {
			r.notes.add(Lost, t.at(name), "unknown key: containerd ignores it, too")
		}
	}
}

func (r criReader) mirrors() {
	mirrors := r.registry.table("mirrors")
	if len(mirrors.values) > 0 {
		r.into.deprecated = append(r.into.deprecated, r.registry.at("mirrors"))
	}
	for _, name := range byCanonical(mirrors.names()) {
		t := mirrors.table(name)
		r.only(t, []string{"endpoint"})
		registry, ok := name, true
		if name != "*" {
			registry, ok = r.usable(name, mirrors.at(name))
		}
		if !ok {
			continue
		}
		if first, again := r.into.mirrors[registry]; again {
			r.again(mirrors.at(name), first.at)
			continue
		}
		m := criMirror{at: mirrors.at(name)}
		for _, address := range t.strings("endpoint") {
			e, err := parseEndpoint(address)
			if err != nil {
				r.notes.add(Lost, t.at("endpoint"), "%v", err)
				continue
			}
			e.at = t.at("endpoint")
			m.endpoints = append(m.endpoints, e)
		}
		r.into.mirrors[registry] = m
	}
}

// byCanonical sorts the names of registries, those in containerd's spelling first. Of
// two spellings of one registry the first counts.
func byCanonical(names []string) []string {
	slices.SortStableFunc(names, func(a, b string) int { return boolOrder(isCanonical(b), isCanonical(a)) })
	return names
}

func isCanonical(name string) bool {
	canonical, err := hostname.Canonical(name)
	return err == nil && canonical == name
}

// boolOrder compares as cmp.Compare does, false before true.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// again notes that settings are ignored because another spelling of the registry came
// first.
func (r criReader) again(at, first place) {
	r.notes.add(Left, at, "not used: it is another spelling of %s, which counts", first)
}

// usable returns the canonical name of a registry, and reports whether it can name a
// registry and its directory.
func (r criReader) usable(name string, at place) (string, bool) {
	canonical, err := hostname.Canonical(name)
	if err != nil {
		r.notes.add(Lost, at, "no registry can have this name: %v", errors.Unwrap(err))
	}
	return canonical, err == nil
}

// parseEndpoint parses an endpoint as containerd's CRI plugin does: the default scheme
// is https, or http on this machine; a path is the API's root as it is. Errors and the
// endpoint omit user and query, which may be secrets.
func parseEndpoint(address string) (*endpoint, error) {
	rest := address
	scheme, _, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", "https://"+address
	}
	u, err := url.Parse(rest)
	if err != nil {
		return nil, errors.New("an endpoint is not a URL")
	}
	shown := safetext.URL(&url.URL{Scheme: scheme, Host: u.Host, Path: u.Path})
	host, err := hostname.Canonical(u.Host)
	if err != nil {
		return nil, fmt.Errorf("endpoint %q: %w", shown, errors.Unwrap(err))
	}
	e := &endpoint{scheme: u.Scheme, host: host, path: apiRoot(u)}
	switch {
	case !found && isLocal(u.Host):
		e.scheme = "http"
	case e.scheme != "https" && e.scheme != "http":
		return nil, fmt.Errorf("endpoint %q: containerd asks only https and http", shown)
	}
	e.dropped = u.User != nil || u.RawQuery != "" || u.Fragment != ""
	return e, nil
}

// apiRoot returns the path of the API, empty for /v2.
func apiRoot(u *url.URL) string {
	if u.Path == "" || strings.TrimSuffix(u.Path, "/") == "/v2" {
		return ""
	}
	return u.EscapedPath()
}

func (r criReader) configs() {
	configs := r.registry.table("configs")
	for _, name := range byCanonical(configs.names()) {
		t := configs.table(name)
		r.only(t, []string{"auth", "tls"})
		if t.has("auth") {
			r.credentials(t.table("auth"), t.at("auth"), name)
		}
		if !t.has("tls") {
			continue
		}
		if host, ok := r.usable(name, configs.at(name)); ok {
			at := t.at("tls")
			if first, again := r.into.tls[host]; again {
				r.into.deprecated = append(r.into.deprecated, at)
				r.again(at, first.at)
				continue
			}
			if strings.Contains(at.key, "io.containerd.cri.v1.images") {
				r.notes.add(Hint, at, "containerd 2 ignores it: in the new tree it takes effect again")
			}
			r.into.deprecated = append(r.into.deprecated, at)
			r.into.tls[host] = r.tls(t.table("tls"), at)
		}
	}
}

func (r criReader) tls(t table, at place) criTLS {
	r.only(t, tlsKeys)
	return criTLS{
		at: at, skipVerify: t.bool("insecure_skip_verify"),
		ca: t.string("ca_file"), caAt: t.at("ca_file"),
		cert: t.string("cert_file"), certAt: t.at("cert_file"),
		key: t.string("key_file"), keyAt: t.at("key_file"),
	}
}

// credentials notes where credentials are, without repeating them.
func (r criReader) credentials(t table, at place, host string) {
	r.only(t, authKeys)
	what := "user and password"
	switch {
	case t.string("identitytoken") != "":
		what = "an identity token"
	case t.string("username")+t.string("password")+t.string("auth") == "":
		return
	}
	r.notes.add(Lost, at, "%s for %s: containerd reads it beside config_path, too, but has deprecated it; "+
		"use an image pull secret in Kubernetes and docker login %s elsewhere", what, host, host)
}

func (r criReader) auths() {
	auths := r.registry.table("auths")
	for _, name := range auths.names() {
		host := name
		if u, err := url.Parse(name); err == nil && u.Host != "" {
			host = u.Host
		}
		if _, err := hostname.Canonical(host); err != nil {
			host = "this registry"
		}
		r.credentials(auths.table(name), auths.at(name), host)
	}
}

// rest reads the settings that belong to no single registry.
func (r criReader) rest() {
	r.into.registry, r.into.configPath = &r.registry.doc.self, r.registry.string("config_path")
	if headers := r.registry.table("headers"); len(headers.values) > 0 {
		r.notes.add(Hint, r.registry.at("headers"), "%s for every registry: stays in effect beside config_path, leave it there",
			count(len(headers.values), "header field"))
	}
}
