package hostdir

import (
	"path/filepath"
	"slices"
	"strings"
)

// aboutPairs are the kinds of problems that keep a client certificate from being
// presented or accepted.
var aboutPairs = map[ProblemCode]bool{
	CAWithKey: true, CertificateMissing: true, FileName: true, FileUnreadable: true, KeyEncrypted: true, KeyMismatch: true, KeyMissing: true,
	PairPartlyUnusable: true, PairUnusable: true, WrongSuffix: true,
}

// aboutCAs reports whether a problem keeps a CA out of the roots.
func aboutCAs(p *Problem) bool {
	switch p.Code {
	case CAPartlyUnusable:
		return true
	case FileName:
		// Files of client certificates and keys have no CA to trust.
		ext := strings.ToLower(filepath.Ext(p.File))
		return !slices.Contains([]string{".p12", ".pfx", ".cert", ".key"}, ext)
	default:
		return false
	}
}

// faults are the problems with the files of an endpoint.
type faults struct {
	// pairs concern its client certificates, cas its CA roots.
	pairs, cas []*Problem
}

// faultKeeper finds the problems that affect each endpoint of a host.
type faultKeeper struct{ *builder }

// keepFaults records the problems with the files of an endpoint: those that a table of
// hosts.toml names, or the Docker files in dirs.
func (b faultKeeper) keepFaults(e *Endpoint, ca, client *endpointConfig, dirs []*Directory) {
	ofPairs := func(p *Problem) bool { return aboutPairs[p.Code] }
	if b.faults == nil {
		b.faults = map[*Endpoint]faults{}
	}
	b.faults[e] = faults{pairs: b.faultsIn(client, ".client", dirs, ofPairs), cas: b.faultsIn(ca, ".ca", dirs, aboutCAs)}
}

// faultsIn returns the problems of a kind with the files that a key of hosts.toml names
// or, if table is nil, with the Docker files in dirs.
func (b faultKeeper) faultsIn(table *endpointConfig, key string, dirs []*Directory, is func(*Problem) bool) []*Problem {
	var found []*Problem
	if table != nil && b.found.config != nil {
		key = strings.TrimPrefix(table.Key+key, ".")
		for _, p := range b.found.config.Problems {
			if is(p) && p.Key == key {
				found = append(found, p)
			}
		}
	}
	for _, dir := range dirs {
		for _, p := range dir.Problems {
			switch {
			case !is(p), p.Key != "":
			case p.kind == ofDirectory, table == nil:
				found = append(found, p)
			}
		}
	}
	return found
}

func (b faultKeeper) faultsOf(endpoints []*Endpoint) []faults {
	list := make([]faults, len(endpoints))
	for i, e := range endpoints {
		list[i] = b.faults[e]
	}
	return list
}
