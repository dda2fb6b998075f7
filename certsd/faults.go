package certsd

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// unpresented records the client certificates that cannot be presented.
func (rd *round) unpresented() {
	for _, p := range rd.route.to.faults {
		if p.Code == hostdir.PairPartlyUnusable || p.Kept() {
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

// account completes the last attempt, which failed, with its faults and the next step,
// and records the certificates that could not be presented.
func (rd *round) account(a *Attempt, o reply) {
	if a.Blamed() == "" {
		rd.unpresented()
	}
	rd.attempts = append(rd.attempts, *a)
	a.Faults = diagnosis{rd}.localFaults(*a, o)
	a.Hint = cmp.Or(a.Hint, diagnosis{rd}.hint(*a, o))
	rd.attempts = rd.attempts[:len(rd.attempts)-1]
}

// localFaults returns the problems on this machine that may be why the last attempt
// failed.
func (rd diagnosis) localFaults(last Attempt, o reply) []*Problem {
	var faults []*Problem
	refused := refusal(o)
	if o.status == http.StatusUnauthorized {
		reason, _ := rd.unanswerable(o.header)
		refused = refused || reason != ""
	}
	if refused {
		faults = append(faults, rd.route.to.faults...)
		for _, id := range rd.route.to.Identities {
			if p := rd.identityFault(id, o); p != nil {
				faults = append(faults, p)
			}
		}
	}
	if refused {
		faults = append(faults, rd.notInUse(faults)...)
	}
	if handshake.Unverified(o.err) {
		faults = append(faults, rd.route.to.lost...)
	}
	slices.SortStableFunc(faults, func(a, b *Problem) int { return cmp.Compare(a.File, b.File) })
	if refused || o.err != nil && last.Blamed() != "proxy" && !errors.Is(o.err, context.Canceled) {
		faults = append(faults, rd.transport.hosts().NearMisses(rd.route.at.Bare())...)
	}
	return faults
}

// unanswerable returns why no client can answer the challenge of a 401, and the next
// step. Token servers send no challenge: their 401 refuses a login.
func (rd diagnosis) unanswerable(header http.Header) (reason, next string) {
	if rd.route.elsewhere() {
		return "", ""
	}
	return serverfault.Unanswerable(header)
}

// notInUse returns the problems that keep the present files of the request's host from
// being used, except those in others: the files may hold what the server requires.
func (rd diagnosis) notInUse(others []*Problem) []*Problem {
	name := rd.route.registry
	if rd.route.foreign || name == "" {
		name = rd.route.at.Bare()
	}
	return slices.DeleteFunc(rd.transport.hosts().NotInUse(name), func(p *Problem) bool {
		return slices.ContainsFunc(others, func(other *Problem) bool { return other.Error() == p.Error() })
	})
}

// identityFault returns the problem with an identity that can be seen here, nil for
// none.
func (rd diagnosis) identityFault(id *Identity, o reply) *Problem {
	if id.Leaf() == nil {
		return nil
	}
	if p := id.ServersOwn(rd.peer); p != nil {
		return p
	}
	for _, p := range id.Problems(time.Now()) {
		return p
	}
	if !rd.wasPresented(id) || !o.certificateRefused() {
		return nil
	}
	var accepts [][]byte
	if named := rd.route.to.state.accepts.Load(); named != nil {
		accepts = *named
	}
	if alert, _ := handshake.Alert(o.err); len(accepts) == 0 && alert != handshake.UnknownCA {
		return nil
	}
	return hostdir.ClientChain{Identity: id, Accepts: accepts, CAs: rd.route.to.CAs, Others: rd.route.to.Identities}.Problem(rd.req.URL.Host)
}

// wasPresented reports whether an identity was presented in this round.
func (rd diagnosis) wasPresented(id *Identity) bool {
	return slices.ContainsFunc(rd.attempts, func(a Attempt) bool { return a.Skipped == "" && a.Identity == id.Name })
}

// allFaulty reports whether every presented identity has a problem of its own, which
// makes advice to compare certificates pointless.
func (rd diagnosis) allFaulty(faults []*Problem) bool {
	presented := false
	for _, id := range rd.route.to.Identities {
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
