package certsd

import (
	"net/http"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// maxHops bounds the walk along redirects. Clients follow ten.
const maxHops = 50

// chain is what led to a request.
type chain struct {
	// first is the request somebody asked for; the request itself unless it
	// follows a redirect.
	first *http.Request
	// redirected reports whether it follows a redirect, crossed that another origin
	// lies on the way: nothing private goes along any more, not even after a
	// redirect led back.
	redirected, crossed bool
	// downgraded reports whether the way led from https to http.
	downgraded bool
}

// chainOf walks along the answers that redirected: http.Client, and clients
// that follow redirects themselves, leave them in Request.Response.
func chainOf(req *http.Request) chain {
	c := chain{first: req}
	if req.Response == nil {
		return c
	}
	here := hostname.OriginOf(req.URL)
	for range maxHops {
		prev := c.first.Response
		if prev == nil || prev.Request == nil || prev.Request.URL == nil {
			return c
		}
		c.first, c.redirected = prev.Request, true
		if o := hostname.OriginOf(c.first.URL); o != here {
			c.crossed = true
			c.downgraded = c.downgraded || o.Scheme == "https" && here.Scheme == "http"
		}
	}
	c.crossed = true
	return c
}
