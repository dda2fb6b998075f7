package resolver

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/certsd/containerd-certsd/certsd"
)

// mayFallBack reports whether plain HTTP may be used if the answer is not TLS: if
// hosts.toml allows both, and for a loopback registry without a directory on a port
// that does not imply the protocol. Stock containerd has the same rule, but also
// falls back on a slow handshake.
func mayFallBack(e *certsd.Endpoint) bool {
	if e.Scheme != "https" {
		return false
	}
	if e.HTTPFallback {
		return true
	}
	_, port, err := net.SplitHostPort(e.Host)
	return e.Localhost && err == nil && port != "443"
}

// plainFallback repeats a request to one endpoint in plain HTTP if the server
// answered the TLS handshake in HTTP, and then stays with plain HTTP. It never does
// so after a timeout, nor for a host that the endpoint leads to.
type plainFallback struct {
	base http.RoundTripper
	// host is the host[:port] of the endpoint.
	host  string
	plain atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (f *plainFallback) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || req.URL.Host != f.host {
		return f.base.RoundTrip(req)
	}
	if !f.plain.Load() {
		resp, err := f.base.RoundTrip(req)
		if !answeredInHTTP(err) {
			return resp, err
		}
		f.plain.Store(true)
		if req, err = rewound(req); err != nil {
			return nil, err
		}
	}
	plain := req.Clone(req.Context())
	plain.URL.Scheme = "http"
	return f.base.RoundTrip(plain)
}

func answeredInHTTP(err error) bool {
	var record tls.RecordHeaderError
	return errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/"
}

func rewound(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("the server speaks plain HTTP, and the request's body cannot be sent twice")
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again, nil
}
