package certsd

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostname"
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

// faultsOf are what is wrong with the files of an endpoint's client
// certificates.
func (h *Host) faultsOf(e *Endpoint) []*Problem {
	if i := slices.Index(h.Endpoints, e); i >= 0 && i < len(h.faults) {
		return h.faults[i]
	}
	return nil
}

// unpresented records the client certificates that cannot be presented.
func (rd *round) unpresented() {
	for _, p := range rd.faults {
		if p.Code == PairPartlyUnusable || p.kept {
			continue
		}
		a := rd.attempt(nil)
		a.Identity, a.Unusable = filepath.Base(p.Where()), true
		a.Skipped = p.Message()
		if p.Key != "" {
			a.Skipped = p.Key + ": " + a.Skipped
		}
		rd.record(a)
	}
}

// account adds to the last attempt, which failed, what to do about it, and
// records what was not presented.
func (rd *round) account(a *Attempt, o reply) {
	if a.blamed() == "" {
		rd.unpresented()
	}
	rd.attempts = append(rd.attempts, *a)
	a.Faults = rd.localFaults(*a, o)
	a.Hint = cmp.Or(a.Hint, rd.hint(*a, o))
	rd.attempts = rd.attempts[:len(rd.attempts)-1]
}

// localFaults are what is wrong here and may be why the last attempt failed.
func (rd *round) localFaults(last Attempt, o reply) []*Problem {
	var faults []*Problem
	refused := refusal(o)
	if o.status == http.StatusUnauthorized {
		reason, _ := Unanswerable(o.header)
		refused = refused || reason != ""
	}
	if refused {
		faults = append(faults, rd.faults...)
		for _, id := range rd.ep.Identities {
			if p := rd.identityFault(id, o); p != nil {
				faults = append(faults, p)
			}
		}
	}
	slices.SortStableFunc(faults, func(a, b *Problem) int { return cmp.Compare(a.File, b.File) })
	if refused || o.err != nil && last.blamed() != "proxy" && !errors.Is(o.err, context.Canceled) {
		faults = append(faults, rd.nearMisses()...)
	}
	return faults
}

// nearMisses are directories that may have been meant for the host of the
// request, where it has none of its own.
func (rd *round) nearMisses() []*Problem {
	h, name := rd.hosts(), rd.at.Bare()
	canonical, err := hostname.Canonical(name)
	if err != nil {
		return nil
	}
	h.init()
	if slices.ContainsFunc(h.paths(hostname.PlaceOf(canonical)), func(path string) bool { return exists(h, path) }) {
		return nil
	}
	return h.nearMisses(canonical, false)
}

// identityFault is what can be seen to be wrong with an identity, nil for
// nothing.
func (rd *round) identityFault(id *Identity, o reply) *Problem {
	if id.leaf() == nil {
		return nil
	}
	if rd.peer != nil && id.leaf().Equal(rd.peer) {
		return serversOwn(id)
	}
	for _, p := range id.validity(time.Now()) {
		return p
	}
	if !rd.wasPresented(id) || !o.certificateRefused() {
		return nil
	}
	var accepts [][]byte
	if named := rd.ep.state.accepts.Load(); named != nil {
		accepts = *named
	}
	if alert, _ := remoteAlert(o.err); len(accepts) == 0 && alert != alertUnknownCA {
		return nil
	}
	return ClientChain{Identity: id, Accepts: accepts, CAs: rd.ep.CAs, Others: rd.ep.Identities}.Problem(rd.req.URL.Host)
}

// ServersOwn finds the identities that are the server's own certificate.
func (e *Endpoint) ServersOwn(server *x509.Certificate) []*Problem {
	var problems []*Problem
	for _, id := range e.Identities {
		if leaf := id.leaf(); leaf != nil && leaf.Equal(server) {
			problems = append(problems, serversOwn(id))
		}
	}
	return problems
}

// serversOwn is that an identity is the certificate of the very server.
func serversOwn(id *Identity) *Problem {
	return &Problem{
		Code: NotForClients, File: id.CertFile,
		Err:  fmt.Errorf("%s is the server's own certificate, and not one of a client", subject(id.leaf())),
		next: "put a client's certificate and its key in its place, issued for this machine by a CA that the server accepts",
	}
}

// wasPresented reports whether an identity was presented in this round.
func (rd *round) wasPresented(id *Identity) bool {
	return slices.ContainsFunc(rd.attempts, func(a Attempt) bool { return a.Skipped == "" && a.Identity == id.Name })
}

// allFaulty reports whether something is wrong with each identity that was
// presented: whoever is told of it need not be told to compare.
func (rd *round) allFaulty(faults []*Problem) bool {
	presented := false
	for _, id := range rd.ep.Identities {
		if !rd.wasPresented(id) {
			continue
		}
		presented = true
		if !slices.ContainsFunc(faults, func(p *Problem) bool { return p.File == id.CertFile }) {
			return false
		}
	}
	return presented
}
