package certsd

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"
)

// Hosts finds what is configured for a registry and keeps it until a file
// changes. Its zero value searches [DefaultRoots]. The fields must not be
// changed after the first call; the methods may be called concurrently.
type Hosts struct {
	// Roots are the certs.d directories. nil means DefaultRoots.
	Roots Roots
	// SystemRoots is "fallback" or empty to verify a server against the
	// system's CA roots only where none are configured, "append" to accept
	// those beside the configured ones.
	SystemRoots string

	// mu guards hosts.
	mu    sync.Mutex
	hosts map[string]*Host
}

// Lookup returns what is configured for a registry: its own directory in any
// root, else a _default directory, else a Host that is just the registry
// itself with the system's CA roots and an empty Dir.
func (h *Hosts) Lookup(name string) (*Host, error) {
	canonical, err := Canonical(name)
	if err != nil {
		return nil, err
	}
	dirs, err := h.exact(canonical, name)
	if err != nil {
		return nil, err
	}
	fallback := false
	if !says(dirs) {
		found, err := h.dirs([]string{defaultDir})
		if err != nil {
			return nil, err
		}
		if says(found) {
			dirs, fallback = found, true
		}
	}
	return h.keep(h.build(canonical, dirs, fallback)), nil
}

// Own returns what the directory named after host[:port] says, nil if there is
// no such directory. It never uses a _default directory: it is for hosts that
// a server names, such as a redirect's target or a token server. The last
// endpoint is the host itself.
func (h *Hosts) Own(hostport string) (*Host, error) {
	canonical, err := Canonical(hostport)
	if err != nil {
		return nil, err
	}
	dirs, err := h.exact(canonical, hostport)
	if err != nil || len(dirs) == 0 {
		return nil, err
	}
	return h.keep(h.build(canonical, dirs, false)), nil
}

// SystemPool returns the system's CA roots. The pool must not be modified.
func (h *Hosts) SystemPool() (*x509.CertPool, error) { return x509.SystemCertPool() }

func (h *Hosts) roots() Roots {
	if h.Roots == nil {
		return DefaultRoots()
	}
	return h.Roots
}

func (h *Hosts) exact(canonical, given string) ([]*Directory, error) {
	return h.dirs(dirNames(runtime.GOOS, canonical, given))
}

func (h *Hosts) dirs(names []string) ([]*Directory, error) {
	var dirs []*Directory
	for _, root := range h.roots() {
		for _, name := range names {
			path := filepath.Join(root, name)
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			dir, err := Load(os.DirFS(path), LoadOptions{Path: path})
			if err != nil {
				return nil, err
			}
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

func says(dirs []*Directory) bool {
	for _, dir := range dirs {
		if dir.says {
			return true
		}
	}
	return false
}

func (h *Hosts) build(name string, dirs []*Directory, fallback bool) *Host {
	e := &Endpoint{Scheme: "https", Host: name, Path: "/v2", Capabilities: AllCapabilities, state: newEndpointState()}
	if name == "docker.io" {
		e.Host = "registry-1.docker.io"
	}
	host := &Host{Name: name, Fallback: fallback, Own: len(dirs) > 0 && !fallback, Endpoints: []*Endpoint{e}}
	for _, dir := range dirs {
		if host.Dir == "" {
			host.Dir, e.Dir = dir.Path, dir.Path
		}
		e.CAs = append(e.CAs, dir.CAs...)
		e.Identities = append(e.Identities, dir.Identities...)
		for _, p := range dir.Problems {
			host.Warnings = append(host.Warnings, p)
		}
	}
	e.TLSConfigured = len(e.CAs) > 0 || len(e.Identities) > 0
	if len(e.CAs) > 0 {
		e.roots = x509.NewCertPool()
		if h.SystemRoots == "append" {
			if pool, err := h.SystemPool(); err == nil {
				e.roots = pool
			}
		}
		for _, ca := range e.CAs {
			for _, cert := range ca.Certificates {
				e.roots.AddCert(cert)
			}
		}
	}
	return host
}

// keep returns the host that is known already if it says the same.
func (h *Hosts) keep(host *Host) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := host.Name + "|" + host.Dir
	old := h.hosts[key]
	if old != nil && same(old.Endpoints[0], host.Endpoints[0]) {
		return old
	}
	if old != nil {
		for _, e := range old.Endpoints {
			e.state.retire()
		}
	}
	if h.hosts == nil {
		h.hosts = make(map[string]*Host)
	}
	h.hosts[key] = host
	return host
}

func same(a, b *Endpoint) bool {
	return reflect.DeepEqual(a.CAs, b.CAs) && reflect.DeepEqual(a.Identities, b.Identities)
}
