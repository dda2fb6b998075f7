package hostdir

import (
	"strings"
)

// aboutPairs are the kinds of problems that keep a client certificate from being
// presented, or from being accepted.
var aboutPairs = map[ProblemCode]bool{
	CAWithKey: true, CertificateMissing: true, FileName: true, FileUnreadable: true, KeyEncrypted: true, KeyMismatch: true, KeyMissing: true,
	PairPartlyUnusable: true, PairUnusable: true, WrongSuffix: true,
}

// pairFaults keeps what is wrong with the client certificates of an endpoint:
// those that a table of hosts.toml names, or those of directories.
func (b *builder) pairFaults(e *Endpoint, client *endpointConfig, dirs []*Directory) {
	var faults []*Problem
	if client != nil && b.found.config != nil {
		key := strings.TrimPrefix(client.Key+".client", ".")
		for _, p := range b.found.config.Problems {
			if aboutPairs[p.Code] && p.Key == key {
				faults = append(faults, p)
			}
		}
	}
	for _, dir := range dirs {
		for _, p := range dir.Problems {
			switch {
			case !aboutPairs[p.Code], p.Key != "":
			case p.kind == ofDirectory, client == nil:
				faults = append(faults, p)
			}
		}
	}
	if b.faults == nil {
		b.faults = map[*Endpoint][]*Problem{}
	}
	b.faults[e] = faults
}

func (b *builder) faultsOf(endpoints []*Endpoint) [][]*Problem {
	faults := make([][]*Problem, len(endpoints))
	for i, e := range endpoints {
		faults[i] = b.faults[e]
	}
	return faults
}
