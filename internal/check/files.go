package check

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// The kinds of files.
const (
	kindCA     = "CA roots"
	kindClient = "client certificate"
	kindKey    = "private key"
	kindHosts  = "hosts.toml"
	kindUnread = "not read"
)

// file describes a file of a host directory; not ok for a directory.
func (r *run) file(path string) (f File, ok bool) {
	x := r.examine(path)
	if x.Mode.IsDir() {
		return f, false
	}
	f = File{Path: path, Kind: r.kind(path), Key: x.Key}
	if x.Mode != 0 {
		f.Mode = fmt.Sprintf("%#o", x.Mode.Perm())
	}
	if x.Err != nil {
		f.Error = x.Err.Error()
	}
	for _, cert := range x.Certificates {
		f.Certificates = append(f.Certificates, r.certificate(cert))
	}
	if f.Kind == kindClient && len(x.Certificates) > 0 {
		r.match(&f, x)
	}
	if x.Key != "" && !x.Elsewhere && x.Mode.Perm()&0o077 != 0 && f.Kind != kindUnread {
		r.find(Finding{
			Severity: isWarning, Code: KeyPermissions, Where: path,
			Message: "holds a private key that others than its owner can use: its mode is " + f.Mode,
			Next:    "chmod 600 " + plainfile.Quote(path),
		})
	}
	return f, true
}

// examine reads a file once.
func (r *run) examine(path string) hostdir.File {
	f, known := r.files[path]
	if !known {
		f = r.hosts.Examine(path)
		r.files[path] = f
	}
	return f
}

// match says which key belongs to a client certificate, and whether it does.
func (r *run) match(f *File, x hostdir.File) {
	if id := r.identity(x.Path); id != nil && id.Device() != "" {
		r.matchDevice(f, id)
		return
	}
	key := x
	if x.Key == "" {
		key = r.examine(r.keyFile(x.Path))
	}
	if key.Key == "" {
		return
	}
	matches := key.HasKeyOf(x.Certificates[0])
	f.KeyFile, f.KeyMatches = key.Path, &matches
}

// identity is the one of a certificate file in the endpoints, nil if there is none.
func (r *run) identity(path string) *certsd.Identity {
	if r.inspection.Host == nil {
		return nil
	}
	for _, e := range r.inspection.Host.Endpoints {
		for _, id := range e.Identities {
			if id.CertFile == path {
				return id
			}
		}
	}
	return nil
}

// matchDevice lets a key that is no file sign.
func (r *run) matchDevice(f *File, id *certsd.Identity) {
	f.KeyFile, f.KeyDevice = id.KeyFile, id.Device()
	err := id.TrySigning(rand.Reader)
	signs := err == nil
	f.KeySigns = &signs
	if signs || errors.Is(err, hostdir.ErrSignature) {
		f.KeyMatches = &signs
	}
	var failed *certsd.KeyError
	if errors.As(err, &failed) {
		r.find(Finding{
			Severity: isWarning, Code: KeyDoesNotSign, Where: f.KeyFile,
			Message: fmt.Sprintf("the %s did not sign: %v", failed.Device, failed.Err),
			Next:    cmp.Or(failed.Next(), "see that it is there and ready, and check again"),
		})
	}
}

// role is what a file is read as, and where its key is.
type role struct{ kind, key string }

// role is that of a file in the endpoints that use it.
func (r *run) role(path string) role {
	if r.roles == nil {
		r.roles = map[string]role{}
		r.takeRoles()
	}
	return r.roles[path]
}

func (r *run) takeRoles() {
	take := func(path string, as role) {
		if _, known := r.roles[path]; !known {
			r.roles[path] = as
		}
	}
	if host := r.inspection.Host; host != nil {
		for _, e := range host.Endpoints {
			for _, ca := range e.CAs {
				take(ca.File, role{kind: kindCA})
			}
			for _, id := range e.Identities {
				take(id.CertFile, role{kindClient, id.KeyFile})
				take(id.KeyFile, role{kind: kindKey})
			}
		}
	}
	for _, p := range r.inspection.Problems {
		if p.Code == hostdir.WrongSuffix {
			take(p.File, role{kind: kindClient})
		}
	}
}

// keyFile is where the key of a certificate file is.
func (r *run) keyFile(path string) string {
	if key := r.role(path).key; key != "" {
		return key
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".key"
}

// kind is what a file is read as.
func (r *run) kind(path string) string {
	if kind := r.role(path).kind; kind != "" {
		return kind
	}
	switch name := filepath.Base(path); filepath.Ext(name) {
	case ".crt":
		return kindCA
	case ".cert":
		return kindClient
	case ".key":
		return kindKey
	default:
		if name == kindHosts {
			return kindHosts
		}
		return kindUnread
	}
}

// timeWords says how far the time is from a certificate's validity.
func (r *run) timeWords(p *certsd.Problem) string {
	for _, cert := range r.examine(p.File).Certificates {
		if now := r.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return printable(cert.Subject.String()) + " " + validity(cert, r.now())
		}
	}
	return p.Err.Error()
}
