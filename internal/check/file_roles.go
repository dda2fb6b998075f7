package check

import (
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// drawer has the files of a registry's directories: what is in them, and what they
// are read as.
type drawer struct {
	hosts      *certsd.Hosts
	inspection *hostdir.Inspection
	// read are the files that were read, by path.
	read map[string]hostdir.File
	// roles are what files are read as, by path, nil until one is asked for; a
	// directory may have very many.
	roles map[string]role
}

// role is what a file is read as, and where its key is.
type role struct{ kind, key string }

// examine reads a file once.
func (d *drawer) examine(path string) hostdir.File {
	f, known := d.read[path]
	if !known {
		f = d.hosts.Examine(path)
		d.read[path] = f
	}
	return f
}

// identity returns the one of a certificate file in the endpoints, nil if there is none.
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

// role is that of a file in the endpoints that use it.
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

// keyFile returns where the key of a certificate file is.
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
