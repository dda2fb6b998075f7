package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// Clients is what clients must know to use a gateway.
type Clients struct {
	// URL is the gateway's address without a path: http://127.0.0.1:5999.
	URL string
	// Running reports whether a running gateway listens there. Otherwise the URL was
	// given or is the configured one.
	Running bool
	// Secret is the gateway's secret; empty if it admits everybody.
	Secret string
	// Upstreams are the registries it serves, as image references name them.
	Upstreams []string
}

// Clients returns what clients must know to use a gateway with this configuration. url
// is where they reach it. If empty, it is the first address of the gateway running with
// this state directory, or else the configured one. The secret is read, never created:
// the serving process creates it, as its user.
func (c *Config) Clients(url string) (Clients, error) {
	g := Clients{URL: url}
	var err error
	if g.URL == "" {
		if g.URL, g.Running, err = c.url(); err != nil {
			return g, err
		}
	}
	if !c.AllowAnyLocal {
		secret := &sharedSecret{Dir: c.State}
		if g.Secret, err = secret.Value(); errors.Is(err, fs.ErrNotExist) {
			return g, fmt.Errorf("%s has no secret yet: start the gateway first, or name its directory with --state", c.State)
		} else if err != nil {
			return g, fmt.Errorf("the gateway's secret: %w", err)
		}
	}
	hosts, err := c.hosts(resolver.Hooks{})
	if err != nil {
		return g, err
	}
	defer hosts.CloseIdleConnections()
	g.Upstreams, err = c.upstreams()
	return g, err
}

// upstreams returns the registries that are served, in order: those with a
// directory, and the configured ones.
func (c *Config) upstreams() ([]string, error) {
	names, err := (&certsd.Hosts{Roots: c.roots()}).Names()
	if err != nil {
		return nil, err
	}
	configured, err := canonicalSet(c.Upstreams)
	if err != nil {
		return nil, err
	}
	for host := range configured {
		names = append(names, host)
	}
	return slices.Sorted(slices.Values(names)), nil
}

// url returns where clients reach the gateway running with this state directory or, if
// none runs, one with this configuration.
func (c *Config) url() (url string, alive bool, err error) {
	r, err := findRunning(c.State)
	if alive = err == nil; !alive {
		r = listening{Addresses: c.Listen, TLS: c.TLSCert != ""}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("cannot tell whether a gateway is running: %w; give its address with --client-url", err)
	}
	url, err = r.url()
	if err != nil && !alive {
		err = fmt.Errorf("%w, or start the gateway first: none runs with the state directory %s", err, c.State)
	}
	return url, alive, err
}

// url returns the first address that clients can use, which excludes unix sockets.
func (r listening) url() (string, error) {
	for _, address := range r.Addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port == "0" || strings.HasPrefix(address, "unix:") {
			continue
		}
		if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
			return "", fmt.Errorf("the gateway listens on all addresses (%s): give the one that clients use with --client-url", address)
		}
		scheme := "http://"
		if r.TLS {
			scheme = "https://"
		}
		return scheme + net.JoinHostPort(host, port), nil
	}
	return "", fmt.Errorf("clients cannot reach a gateway at %s: give its address with --client-url", strings.Join(r.Addresses, ", "))
}

// Reads reports whether dir is in one of the certs.d directories that the gateway
// reads. Files written there for clients would lead the gateway to itself.
func (c *Config) Reads(dir string) bool {
	dir = realPath(dir)
	return slices.ContainsFunc(c.roots(), func(root string) bool {
		rel, err := filepath.Rel(realPath(root), dir)
		return err == nil && filepath.IsLocal(rel)
	})
}

// realPath resolves the symbolic links in the existing part of a path.
func realPath(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	if followed, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return followed
	} else if !errors.Is(err, os.ErrNotExist) {
		return path
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
}
