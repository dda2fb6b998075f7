package certsd

import (
	"net/http"
	"slices"
	"time"
)

// try makes the request with one identity.
func (rd *round) try(req *http.Request, id *Identity) (*http.Response, reply, *exchange) {
	rd.presented.Present(id)
	to := rd.route.to
	kept := to.state.connections(*to, id)
	x := &exchange{transport: rd.transport, origin: rd.route.at, host: req.URL.Host, identity: id, supply: kept.supply, targets: [2]*target{to, rd.route.home}}
	resp, err := kept.RoundTrip(x.request(req, rd.header, rd.reqHost))
	kept.supply.Leave(&x.counted)
	if err == nil {
		err = x.refusedByProxy(resp, to.Proxy)
	}
	o := reply{
		method: req.Method, path: req.URL.Path, err: err,
		fresh: x.fresh.Load(), answered: x.answered.Load(),
	}
	if c := x.connection(); c != nil {
		o.asked = c.asked.Load()
		if failed := c.unsigned.Load(); failed != nil && err != nil {
			// crypto/tls passes on only the error's text.
			err, o.err = failed, failed
		}
	}
	if err != nil && req.Context().Err() == nil {
		o.early = x.early() && !o.asked
		err = x.atProxy(err, to.Proxy)
		o.err = err
	}
	if to.state.isRetired() {
		// The connection is closed as soon as it is idle.
		to.state.closeIdle()
	}
	if err != nil {
		return nil, o, x
	}
	o.status, o.header = resp.StatusCode, resp.Header
	if resp.TLS != nil {
		o.version = resp.TLS.Version
	}
	if o.status == http.StatusBadRequest {
		o.page = peek(resp)
	}
	// The caller expects its own request in the response, not our copy.
	resp.Request = rd.req
	return resp, o, x
}

// renewed returns a route for repeating a request whose certificates were all refused
// and have since been replaced on disk, otherwise nil. Certificates that live for an
// hour expire while requests wait or are under way.
func (rd *round) renewed(id *Identity, o reply) *route {
	refused := o.certificateRefused() || unsigned(o.err) != nil
	if id != nil && o.status == http.StatusForbidden {
		refused = id.Invalid(time.Now()) != ""
	}
	if !refused || rd.route.renewed || rd.req.Context().Err() != nil {
		return nil
	}
	now, err := router{rd.transport}.route(rd.route.by, rd.req)
	if err != nil || now.to.state == rd.route.to.state || slices.Equal(now.to.Identities, rd.route.to.Identities) {
		return nil
	}
	now.renewed = true
	return now
}
