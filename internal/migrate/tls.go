package migrate

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// trust is the TLS configuration for one host.
type trust struct {
	ca         []*file
	client     []pair
	skipVerify bool
	// system reports whether the system's CA roots apply in addition to ca.
	system bool
	// from are the directories and configurations it comes from.
	from []string
}

// empty reports whether nothing is configured.
func (t trust) empty() bool { return len(t.ca) == 0 && len(t.client) == 0 && !t.skipVerify }

// truster decides which TLS settings apply to a host.
type truster struct{ *sources }

// trustOf returns the settings of all sources for a host, host[:port] as in an address.
// CA roots and client certificate each come from containerd's configuration, or else
// from a directory.
func (p truster) trustOf(host string) trust {
	var t trust
	if cri, found := p.cri.tls[host]; found {
		t = p.criTrust(cri)
	}
	docker := p.docker[hostKey(host)]
	if docker == nil && host == hostname.DockerHubServer {
		docker = p.docker[hostname.DockerHub]
	}
	if docker != nil {
		p.addDocker(&t, docker)
	}
	if at, found := p.insecure(host); found {
		if t.empty() {
			t.skipVerify = true
			t.from = append(t.from, at.file)
		} else if !t.skipVerify {
			p.notes.add(Left, at, "%s is verified: there are certificates for it in %s", host, strings.Join(t.from, ", "))
		}
	}
	return t
}

func (p truster) insecure(host string) (place, bool) {
	for name, at := range p.daemon.insecure {
		if hostKey(name) == hostKey(host) {
			return at, true
		}
	}
	return place{}, false
}

// addDocker adds a directory's files where containerd's configuration sets none.
func (p truster) addDocker(t *trust, docker *dockerHost) {
	used := false
	switch {
	case len(t.ca) == 0:
		t.ca = docker.ca
		used = len(docker.ca) > 0
	default:
		p.setAside(docker.ca, t.ca)
	}
	switch {
	case len(t.client) == 0:
		t.client = docker.client
		used = used || len(docker.client) > 0
	default:
		p.setAside(docker.certs(), []*file{t.client[0].cert})
	}
	if used {
		t.from = append(t.from, docker.dirs...)
	}
}

// setAside notes files that are replaced by those in used.
func (p truster) setAside(files, used []*file) {
	for _, f := range files {
		if !holds(used, f) {
			p.notes.add(Left, place{file: f.source}, "not used: containerd's configuration names %s for this host", used[0].source)
		}
	}
}

func holds(files []*file, f *file) bool {
	for _, other := range files {
		if bytes.Equal(other.data, f.data) {
			return true
		}
	}
	return false
}

// criTrust reads the files that containerd's configuration names. They stay in place,
// where they continue to be renewed.
func (p truster) criTrust(c criTLS) trust {
	t := trust{skipVerify: c.skipVerify, from: []string{c.at.file}}
	if c.ca != "" {
		t.system = true
		if f := p.criFile(c.ca, c.caAt); f != nil && p.isCA(f, c.caAt) {
			t.ca = []*file{f}
		}
	}
	switch {
	case c.cert == "" && c.key == "":
		return t
	case c.key == "":
		p.notes.add(Left, c.certAt, "not used: there is no key_file")
		return t
	case c.cert == "":
		p.notes.add(Left, c.keyAt, "not used: there is no cert_file")
		return t
	}
	cert := p.criFile(c.cert, c.certAt)
	key := p.criFile(c.key, c.keyAt)
	if cert == nil || key == nil {
		return t
	}
	_, lost, err := hostdir.ParsePair(cert.source, cert.data, key.source, key.data)
	switch {
	case errors.Is(err, hostdir.ErrEncryptedKey):
		p.notes.add(Left, c.keyAt, "not used: %s: %v", key.source, err)
		return t
	case err != nil:
		p.notes.add(Left, c.certAt, "not used: %v", err)
		return t
	case lost != nil:
		p.notes.add(Hint, c.certAt, "%s is used in part: %v", cert.source, lost)
	}
	t.client = []pair{{cert, key}}
	return t
}

// criFile reads a file named in a configuration. It returns nil if the file cannot be
// used.
func (p truster) criFile(path string, at place) *file {
	if !filepath.IsAbs(path) {
		// systemd starts containerd in /.
		p.notes.add(Hint, at, "%s is taken for a path below /", path)
		path = filepath.Join("/", path)
	}
	data, err := readFile(path)
	if err != nil {
		p.notes.add(Left, at, "not used: %v", err)
		return nil
	}
	return &file{source: path, data: data}
}

// isCA reports whether a file has CA roots, and notes its problems.
func (p truster) isCA(f *file, at place) bool {
	_, lost, err := hostdir.ParseCAs(f.source, f.data)
	switch {
	case err != nil:
		p.notes.add(Left, at, "not used: %s: %v", f.source, err)
	case lost != nil:
		p.notes.add(Hint, at, "%s is used in part: %v", f.source, lost)
	}
	return err == nil
}
