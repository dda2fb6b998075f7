package certsd

import (
	"crypto/x509"
	"net/http"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/trail"
	"github.com/certsd/containerd-certsd/internal/reqctx"
)

// round is the work on one request: a series of tries, each with another identity.
type round struct {
	transport *Transport
	route     *route
	req       *http.Request
	// header and reqHost are sent instead of the request's own.
	header  http.Header
	reqHost string
	repo    string
	trail   *Trail
	// attempts are the attempts of this round.
	attempts []Attempt
	// sick reports whether each answer so far was a 5xx, spared whether the server
	// answered all of the last round with 5xx a moment ago: then one more 5xx ends this
	// round.
	sick, spared bool
	// start and learnt are as in Round.
	start  time.Time
	learnt bool
	// peer is the server's certificate, nil if it is not known.
	peer *x509.Certificate
	// presented is notified of each identity that is presented; it may be nil.
	presented *reqctx.Presented
	// absent is a 404 of Registry v1 that was passed over, nil for none.
	absent *http.Response
}

// rotate makes the request with the identities of its endpoint until one is not
// refused. It remembers which identity works for a repository; while nothing is
// known about one, its other requests wait for the first.
func (t *Transport) rotate(r *route, req *http.Request) (*http.Response, error) {
	header, host, err := r.header(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	rd := &round{
		transport: t, route: r, req: req, header: header, reqHost: host,
		repo: repositoryOf(req, r.to.Path), trail: trail.Of(req.Context()), sick: true, start: time.Now(),
	}
	rd.presented = reqctx.PresentedIn(r.chain.first.Context())
	if r.foreign {
		rd.presented = nil // only the registry's attempts are reported
	}
	identities, refused := rd.presented.Remaining(rd.identities())
	if hook := rd.transport.Hooks.OnRotate; hook != nil && refused != nil {
		hook(Rotation{Host: req.URL.Host, From: nameOf(refused), To: nameOf(identities[0]), Reason: reasonPage})
	}
	if len(identities) < 2 {
		return rd.run(identities)
	}
	memory := &r.to.state.memory
	p, err := memory.enter(req.Context(), rd.repo, time.Now, !hasBody(req))
	if err != nil {
		closeBody(req)
		return nil, err
	}
	defer func() { p.leave(req.Context().Err() != nil) }()
	rd.spared = p.sick
	return rd.run(inOrder(identities, p.identity))
}

// run tries one identity after another.
func (rd *round) run(identities []*Identity) (*http.Response, error) {
	if len(identities) == 0 {
		identities = []*Identity{nil}
	}
	req := rd.req
	for i := 0; ; i++ {
		id := identities[i]
		resp, o, x := rd.try(req, id)
		reason := moves(rd.route.statuses, o)
		a := rd.result(id, x, o)
		if reason == "" {
			if o.err == nil && id != nil {
				// After others were refused, this one is the right one even if the
				// answer proves nothing by itself: a 401 asks for a token for it.
				rd.learnt = rd.route.to.state.memory.works(rd.repo, id, o.status < 400 || i > 0)
			}
			return rd.finish(a, resp, o)
		}
		rd.sick = rd.sick && o.sick()
		if rd.spared && o.sick() {
			return rd.finish(a, resp, o)
		}
		if i+1 == len(identities) {
			if next := rd.renewed(id, o); next != nil {
				if req = rd.again(); req != nil {
					a.Reason = reason
					if resp != nil {
						a.Answer = discard(resp, rd.secrets()...)
					}
					rd.record(a)
					return rd.transport.rotate(next, req)
				}
			}
			if len(identities) > 1 {
				rd.route.to.state.memory.failed(rd.repo, rd.sick, time.Now())
			}
			if rd.absent != nil && o.status == http.StatusForbidden {
				a.Answer = discard(resp, rd.secrets()...)
				rd.account(&a, o)
				rd.record(a)
				rd.report()
				return rd.absent, nil
			}
			return rd.finish(a, resp, o)
		}
		next := rd.again()
		if next == nil {
			a.Hint = rd.onlyOnce()
			return rd.finish(a, resp, o)
		}
		a.Reason = reason
		if resp != nil {
			a.Answer = discard(resp, rd.secrets()...)
			rd.passOver(resp)
		}
		rd.record(a)
		if hook := rd.transport.Hooks.OnRotate; hook != nil {
			hook(Rotation{Host: req.URL.Host, From: nameOf(id), To: nameOf(identities[i+1]), Reason: reason})
		}
		req = next
	}
}

// passOver remembers a 404 of Registry v1. If the other identities are refused, the 404
// is the result: v1 has several names for one thing, and clients try the next only
// after a 404.
func (rd *round) passOver(resp *http.Response) {
	if resp.StatusCode == http.StatusNotFound && rd.absent == nil && strings.HasPrefix(rd.req.URL.Path, "/v1/") {
		rd.absent = resp
		resp.Body = http.NoBody // it was read and closed
	}
}

// again returns a copy of the request with its body rewound, nil if it cannot be
// repeated.
func (rd *round) again() *http.Request {
	if rd.req.Context().Err() != nil {
		return nil
	}
	if !hasBody(rd.req) {
		return rd.req
	}
	if rd.req.GetBody == nil {
		return nil
	}
	body, err := rd.req.GetBody()
	if err != nil {
		return nil
	}
	next := rd.req.WithContext(rd.req.Context())
	next.Body = body
	return next
}

// onlyOnce returns why a request that should have been repeated was not.
func (rd *round) onlyOnce() string {
	if rd.req.Context().Err() != nil {
		return ""
	}
	return "the other certificates were not tried: the request's body cannot be sent a second time"
}

// reasonPage is the reason of a rotation after [reqctx.Presented.Refuse].
const reasonPage = "redirected to a page"

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// finish records and returns the outcome of the last identity tried.
func (rd *round) finish(a Attempt, resp *http.Response, o reply) (*http.Response, error) {
	if o.err != nil || o.status >= http.StatusBadRequest {
		rd.account(&a, o)
	}
	id := rd.record(a)
	rd.report()
	if rd.trail != nil {
		rd.trail.Keep(rd.secrets())
	}
	if o.err != nil {
		return nil, diagnosis{rd}.explain(o, a)
	}
	rd.tame(resp, id)
	return resp, nil
}

// report passes the outcome of the request to the hook.
func (rd *round) report() {
	hook := rd.transport.Hooks.OnRound
	if hook == nil {
		return
	}
	hook(rd.req.Context(), Round{
		Registry: rd.route.registry, Host: rd.req.URL.Host, Repository: rd.repo, Start: rd.start,
		Attempts: rd.attempts, Learnt: rd.learnt, Downgrade: rd.route.downgrade(), From: rd.transport.hosts(), Foreign: rd.route.foreign,
	})
}
