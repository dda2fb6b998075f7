package hostdir

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// builder makes a Host from what was found for a registry.
type builder struct {
	name   string
	found  *resolution
	append bool // system_roots

	problems []*Problem
	// faults are the problems of each endpoint.
	faults map[*Endpoint]faults
	// said are the texts of the warnings counted so far.
	said    map[string]bool
	counted int
}

// build returns the host, or an error if the host must not be used.
func (b *builder) build() (*Host, error) {
	r := b.found
	host := &Host{Name: b.name, Fallback: r.fallback, Own: len(r.exact) > 0}
	b.problems = append(b.problems, r.problems...)
	if r.systemErr != nil {
		b.problems = append(b.problems, &Problem{Code: SystemRootsUnreadable, File: "system CA roots", Err: r.systemErr})
	}
	for _, dir := range r.main {
		for _, p := range dir.Problems {
			switch {
			case p.kind == ofDirectory, p.kind == ofHosts && (dir == r.config || p.kept):
				b.problems = append(b.problems, p)
			}
		}
		if dir.hosts && dir != r.config {
			b.problems = append(b.problems, &Problem{
				Severity: Warning, Code: HostsFileHidden, File: filepath.Join(dir.Path, hostsTOML),
				Err: fmt.Errorf("is not used: %s comes first", filepath.Join(r.config.Path, hostsTOML)),
			})
		}
	}
	b.twice()
	var config *hostsFile
	if r.config != nil {
		host.Dir = r.config.Path
		config = r.config.config
	} else if i := slices.IndexFunc(r.main, func(d *Directory) bool { return d.says }); i >= 0 {
		host.Dir = r.main[i].Path
	} else if len(r.main) > 0 {
		host.Dir = r.main[0].Path
	}
	switch {
	case config != nil:
		host.RegistryV1, host.RotateOn = config.RegistryV1, config.RotateOn
		if config.SystemRoots != "" {
			b.append = SystemRoots(config.SystemRoots) == AppendRoots
		}
		for i, e := range config.endpoints {
			host.Endpoints = append(host.Endpoints, b.endpoint(e, r.endpoints[i]))
		}
	case r.config == nil:
		host.Endpoints = []*Endpoint{b.endpoint(b.registry(), r.main)}
	}
	host.faults = faultKeeper{b}.faultsOf(host.Endpoints)
	host.own, host.ownErr = b.own(host)
	if err := toldFailures(b.problems); err != nil {
		return nil, fmt.Errorf("registry %s: %w", b.name, err)
	}
	for _, p := range b.problems {
		host.Warnings = append(host.Warnings, p)
	}
	return host, nil
}

// registry returns the configuration of a registry for which no file has one.
func (b *builder) registry() *endpointConfig {
	return &endpointConfig{Endpoint: &hoststoml.Endpoint{Path: "/v2", Capabilities: hoststoml.AllCapabilities}}
}

// own returns the host as its own directory alone describes it. Problems found on the
// way are not added to b's.
func (b *builder) own(host *Host) (*Host, error) {
	if !host.Own {
		return nil, nil
	}
	last := len(host.Endpoints) - 1
	if !host.Fallback && last >= 0 && strings.EqualFold(host.Endpoints[last].Host, b.address()) {
		return host, nil
	}
	alone := &builder{name: b.name, found: b.found, append: b.append}
	own := *host
	own.Fallback = false
	own.Dir = b.found.exact[0].Path
	if !host.Fallback {
		own.Dir = host.Dir
	}
	own.Endpoints = []*Endpoint{alone.endpoint(b.registry(), b.found.exact)}
	own.faults = faultKeeper{alone}.faultsOf(own.Endpoints)
	if err := toldFailures(alone.problems); err != nil {
		return nil, fmt.Errorf("host %s: %w", b.name, err)
	}
	own.Warnings = nil
	for _, p := range alone.problems {
		own.Warnings = append(own.Warnings, p)
	}
	return &own, nil
}

// twice reports directories of one root that are named after the same registry in
// different spellings. Both canonical spellings with a port may exist.
func (b *builder) twice() {
	canonical := hostname.PlaceOf(b.name).Names
	for i, dir := range b.found.exact {
		if slices.Contains(canonical, filepath.Base(dir.Path)) || !dir.says {
			continue
		}
		for _, first := range b.found.exact[:i] {
			if filepath.Dir(first.Path) == filepath.Dir(dir.Path) && first.says {
				b.problems = append(b.problems, &Problem{Severity: Warning, Code: DirectoryTwice, File: dir.Path, Err: fmt.Errorf(
					"is named after the same registry as %s, which comes first: a file there hides the one of the same name here", first.Path)})
				break
			}
		}
	}
}

func (b *builder) address() string {
	if b.name == hostname.DockerHub {
		return hostname.DockerHubServer
	}
	return b.name
}

// endpoint builds one endpoint. The Docker files in dirs supply what hosts.toml does
// not.
func (b *builder) endpoint(c *endpointConfig, dirs []*Directory) *Endpoint {
	e := &Endpoint{
		Scheme:       cmp.Or(c.Scheme, "https"),
		Host:         cmp.Or(c.Host, b.address()),
		Path:         c.Path,
		Capabilities: c.Capabilities,
		Header:       c.Header,
		DialTimeout:  c.DialTimeout,
		Proxy:        b.proxy(c),
		life:         new(Life),
	}
	if c.SkipVerify != nil {
		e.SkipVerify = *c.SkipVerify
	}
	ca, client := b.sameOrigin(c)
	docker := overlay(dirs)
	if ca != nil {
		e.CAs = ca.cas
	} else {
		e.CAs = docker.cas
	}
	if client != nil {
		e.Identities = client.identities
	} else {
		e.Identities = docker.identities
	}
	if ca == nil || client == nil {
		b.addProblems(docker.problems)
	}
	switch {
	case (ca != nil || client != nil || c.SkipVerify != nil) && b.found.config != nil:
		e.Dir = b.found.config.Path
	case len(e.CAs) > 0 || len(e.Identities) > 0:
		e.Dir = docker.dir
	}
	faultKeeper{b}.keepFaults(e, ca, client, dirs)
	e.TLSConfigured = e.Dir != ""
	if b.found.config != nil {
		e.hostsDir = b.found.config.Path
	}
	b.scheme(e, c)
	e.Localhost = c.Host == "" && !e.TLSConfigured && len(b.found.exact) == 0 && hostname.IsLocalhost(b.name)
	e.roots, e.system = b.pool(e.CAs)
	return e
}

// sameOrigin returns the tables whose ca and client apply to this endpoint: its own, or
// others with the same scheme, host and port. A pair configured for a mirror is thus
// also used when the same server is the registry itself.
func (b *builder) sameOrigin(c *endpointConfig) (ca, client *endpointConfig) {
	for _, other := range b.sameServer(c) {
		if ca == nil && other.CA != nil {
			ca = other
		}
		if client == nil && other.Client != nil {
			client = other
		}
	}
	return ca, client
}

// sameServer returns the table and all others with the same scheme, host and port.
func (b *builder) sameServer(c *endpointConfig) []*endpointConfig {
	tables := []*endpointConfig{c}
	if b.found.config == nil || b.found.config.config == nil {
		return tables
	}
	for _, other := range b.found.config.config.endpoints {
		if other != c && b.origin(other) == b.origin(c) {
			tables = append(tables, other)
		}
	}
	return tables
}

// tlsElsewhere reports whether a table has a CA or a pair for TLS on the same host and
// port. Even if they do not apply to this endpoint, they rule out plain HTTP to that
// server.
func (b *builder) tlsElsewhere(c *endpointConfig) bool {
	if b.found.config == nil || b.found.config.config == nil {
		return false
	}
	return slices.ContainsFunc(b.found.config.config.endpoints, func(other *endpointConfig) bool {
		return (other.CA != nil || other.Client != nil) && b.origin(other).Host == b.origin(c).Host
	})
}

// origin returns the origin of a table's endpoint.
func (b *builder) origin(c *endpointConfig) hostname.Origin {
	return hostname.OriginFor(cmp.Or(c.Scheme, "https"), cmp.Or(c.Host, b.address()))
}

// scheme decides about plain HTTP for an endpoint with an http:// address in
// hosts.toml. If there are TLS settings too and the port is not 80, containerd tries
// HTTPS first and falls back; this package falls back only if skip_verify is the sole
// setting.
func (b *builder) scheme(e *Endpoint, c *endpointConfig) {
	elsewhere := b.tlsElsewhere(c)
	if e.Scheme != "http" || !e.TLSConfigured && !elsewhere {
		return
	}
	if u := (&url.URL{Host: e.Host}); u.Port() == "80" {
		return
	}
	e.Scheme = "https"
	if len(e.CAs) == 0 && len(e.Identities) == 0 && !elsewhere {
		e.HTTPFallback = true
		return
	}
	b.addProblems([]*Problem{{
		Severity: Warning, Code: HostsFileHTTP, File: filepath.Join(b.found.config.Path, hostsTOML), Key: c.Key,
		Err: errors.New("says http:// for a server with TLS settings: HTTPS is used"),
	}})
}

// pool returns the roots to verify against, and the version of the system's roots that
// it includes.
func (b *builder) pool(cas []CA) (*x509.CertPool, *systemRoots) {
	system := b.found.system
	if len(cas) == 0 {
		if len(systemFiles) == 0 || system == nil {
			return nil, nil
		}
		return system.pool, system
	}
	if !b.append || system == nil {
		return Pool(cas, nil), nil
	}
	return Pool(cas, system.pool), system
}

// Pool returns a new pool of the given roots and those in system, which may be nil.
func Pool(cas []CA, system *x509.CertPool) *x509.CertPool {
	pool := x509.NewCertPool()
	if system != nil {
		pool = system.Clone()
	}
	for _, ca := range cas {
		for _, cert := range ca.Certificates {
			pool.AddCert(cert)
		}
	}
	return pool
}

func (b *builder) addProblems(problems []*Problem) {
	if b.said == nil {
		b.said = map[string]bool{}
	}
	for _, p := range b.problems[b.counted:] {
		b.said[p.Error()] = true
	}
	for _, p := range problems {
		if text := p.Error(); !b.said[text] {
			b.said[text] = true
			b.problems = append(b.problems, p)
		}
	}
	b.counted = len(b.problems)
}
