package certsd

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/reqctx"
)

// travelling are the headers that survive a redirect to another origin: they describe
// the requested content, not who requests it. Go's client forwards Authorization to
// other ports of the same name and to names below it, and the caller's other headers to
// any host.
var travelling = []string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Cache-Control",
	"Content-Encoding", "Content-Language", "Content-Length", "Content-Range", "Content-Type",
	"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
	"Range", "User-Agent",
}

// header returns the header to send, and the Host. It leaves req.Header unchanged:
// "RoundTrip should not modify the request".
func (r *route) header(req *http.Request) (http.Header, string, error) {
	header, host := req.Header, req.Host
	if header == nil {
		header = make(http.Header)
	}
	switch {
	case r.chain.crossed:
		if err := checkForm(req); err != nil {
			return nil, "", err
		}
		header, host = make(http.Header), ""
		for _, name := range travelling {
			if values := req.Header.Values(name); len(values) > 0 {
				header[name] = slices.Clone(values)
			}
		}
		r.withhold(header)
		if value := reqctx.Granted(req); value != "" {
			header.Set("Authorization", value)
		}
	case r.foreign:
		header = header.Clone()
		r.withhold(header)
	}
	if r.addHeader && len(r.to.Header) > 0 {
		header = header.Clone()
		for name, values := range r.to.Header {
			if name = http.CanonicalHeaderKey(name); header.Values(name) == nil {
				header[name] = slices.Clone(values)
			}
		}
	}
	return header, host, nil
}

// withhold removes the values meant for home only. Another value of the same name is
// the caller's own, such as the Authorization for a token server.
func (r *route) withhold(header http.Header) {
	private := []http.Header{r.scoped}
	if r.home != nil {
		private = append(private, r.home.Header)
	}
	for _, values := range private {
		for name, secret := range values {
			name = http.CanonicalHeaderKey(name)
			kept := slices.DeleteFunc(slices.Clone(header[name]), func(value string) bool {
				return slices.ContainsFunc(secret, func(s string) bool {
					return strings.TrimSpace(s) == strings.TrimSpace(value)
				})
			})
			if header[name] = kept; len(kept) == 0 {
				delete(header, name)
			}
		}
	}
}

// checkForm refuses to send the body of a token request to another server: it may hold
// the user name and password (RFC 6749).
func checkForm(req *http.Request) error {
	if req.Body == nil || req.Body == http.NoBody ||
		!strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil
	}
	return fmt.Errorf("refused to follow a redirect to %s: the request's body may hold credentials for the server that redirects",
		req.URL.Host)
}

// maxHops bounds the walk along redirects. Clients follow ten.
const maxHops = 50

// chain is the sequence of redirects that led to a request.
type chain struct {
	// first is the request that the caller made: the request itself unless it follows a
	// redirect.
	first *http.Request
	// redirected reports whether it follows a redirect, crossed whether the redirects
	// led through another origin: then nothing private is sent, not even after a
	// redirect back.
	redirected, crossed bool
	// downgraded reports whether a redirect led from https to http.
	downgraded bool
}

// chainOf traces the redirects back through Request.Response, which http.Client sets,
// as do clients that follow redirects themselves.
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
