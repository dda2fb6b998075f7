package check

import (
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// drawer holds the files of a registry's directories: their content and their roles.
type drawer struct {
	hosts      *certsd.Hosts
	inspection *hostdir.Inspection
	// read has the files read so far, by path.
	read map[string]hostdir.File
	// roles maps paths to roles. It is built on first use: a directory may have very
	// many files.
	roles map[string]role
}

// role is what a file is read as, and for a client certificate its key file.
type role struct{ kind, key string }

// examine reads a file, once.
func (d *drawer) examine(path string) hostdir.File {
	f, known := d.read[path]
	if !known {
		f = d.hosts.Examine(path)
		d.read[path] = f
	}
	return f
}

// identity returns the endpoints' identity with this certificate file, or nil.
func (d *drawer) identity(path string) *certsd.Identity {
	if d.inspection.Host == nil {
		return nil
	}
	for _, e := range d.inspection.Host.Endpoints {
		for _, id := range e.Identities {
			if id.CertFile == path {
				return id
			}
		}
	}
	return nil
}

// role returns the role of a file in the endpoints that use it.
func (d *drawer) role(path string) role {
	if d.roles == nil {
		d.roles = map[string]role{}
		d.takeRoles()
	}
	return d.roles[path]
}

func (d *drawer) takeRoles() {
	take := func(path string, as role) {
		if _, known := d.roles[path]; !known {
			d.roles[path] = as
		}
	}
	if host := d.inspection.Host; host != nil {
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
	for _, p := range d.inspection.Problems {
		if p.Code == hostdir.WrongSuffix {
			take(p.File, role{kind: kindClient})
		}
	}
}

// keyFile returns the key file of a certificate file.
func (d *drawer) keyFile(path string) string {
	if key := d.role(path).key; key != "" {
		return key
	}
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".key"
}

// kind returns what a file is read as.
func (d *drawer) kind(path string) string {
	if kind := d.role(path).kind; kind != "" {
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
