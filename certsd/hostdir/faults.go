package hostdir

import (
	"path/filepath"
	"slices"
	"strings"
)

// aboutPairs are the kinds of problems that keep a client certificate from being
// presented, or from being accepted.
var aboutPairs = map[ProblemCode]bool{
	CAWithKey: true, CertificateMissing: true, FileName: true, FileUnreadable: true, KeyEncrypted: true, KeyMismatch: true, KeyMissing: true,
	PairPartlyUnusable: true, PairUnusable: true, WrongSuffix: true,
}

// aboutCAs are the kinds that keep a CA from being among the roots.
func aboutCAs(p *Problem) bool {
	switch p.Code {
	case CAPartlyUnusable:
		return true
	case FileName:
		// What holds client certificates and keys has no CA to trust.
		ext := strings.ToLower(filepath.Ext(p.File))
		return !slices.Contains([]string{".p12", ".pfx", ".cert", ".key"}, ext)
	default:
		return false
	}
}

// faults are what is wrong with the files of an endpoint.
type faults struct {
	// pairs are about its client certificates, cas about its CA roots.
	pairs, cas []*Problem
}

// keepFaults keeps what is wrong with the files of an endpoint: those that a table
// of hosts.toml names, or those of directories.
func (b *builder) keepFaults(e *Endpoint, ca, client *endpointConfig, dirs []*Directory) {
	ofPairs := func(p *Problem) bool { return aboutPairs[p.Code] }
	if b.faults == nil {
		b.faults = map[*Endpoint]faults{}
	}
	b.faults[e] = faults{pairs: b.faultsIn(client, ".client", dirs, ofPairs), cas: b.faultsIn(ca, ".ca", dirs, aboutCAs)}
}

// faultsIn are those of a kind, about the files that a key of hosts.toml names or,
// where it is nil, about those of directories.
func (b *builder) faultsIn(table *endpointConfig, key string, dirs []*Directory, is func(*Problem) bool) []*Problem {
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

func (b *builder) faultsOf(endpoints []*Endpoint) []faults {
	list := make([]faults, len(endpoints))
	for i, e := range endpoints {
		list[i] = b.faults[e]
	}
	return list
}
