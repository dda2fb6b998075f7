package certsd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// ProxyError reports that a proxy does not lead to a server: what it answers is not
// the server's answer.
type ProxyError struct {
	// Proxy is its URL without user and password, Host the host:port that it was
	// to connect to.
	Proxy, Host string
	// Method is the request that it refused, in plain HTTP; empty is CONNECT.
	Method string
	// Status is what it answered, zero for nothing of use.
	Status int
	// Err is what came in place of an answer, nil where there is one.
	Err error
	// From is the hosts.toml that names the proxy, nil for the environment.
	From *hostdir.Proxy
}

// Error names the proxy and what to do.
func (e *ProxyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("proxy %s does not lead to %s: %s", e.Proxy, e.Host, cleanError(e.Err))
	}
	return fmt.Sprintf("proxy %s answers %d %s to %s %s", e.Proxy, e.Status, http.StatusText(e.Status), cmp.Or(e.Method, http.MethodConnect), e.Host)
}

// Unwrap returns what came in place of an answer.
func (e *ProxyError) Unwrap() error { return e.Err }

// Hint is what to do.
func (e *ProxyError) Hint() string {
	host, _, err := net.SplitHostPort(e.Host)
	if err != nil {
		host = e.Host
	}
	if e.Err != nil {
		return ProxyUnreachable(e.From, host)
	}
	variable := "HTTPS_PROXY"
	if e.Method != "" {
		variable = "HTTP_PROXY"
	}
	// Tinyproxy answers a wrong password with 401.
	switch wanted := e.Status == http.StatusProxyAuthRequired || e.Status == http.StatusUnauthorized; {
	case e.From != nil && wanted:
		return fmt.Sprintf("the proxy %s wants another user or password: write them into %s in %s (http://USER:PASSWORD@HOST:PORT)", e.Proxy, e.From.Key, e.From.File)
	case e.From != nil:
		return fmt.Sprintf("have the proxy %s let %s through, or correct %s in %s", e.Proxy, host, e.From.Key, e.From.File)
	case wanted:
		return fmt.Sprintf("the proxy %s wants a user and a password: write them into %s (http://USER:PASSWORD@HOST:PORT), or put %s into NO_PROXY", e.Proxy, variable, host)
	}
	return fmt.Sprintf("correct %s, put %s into NO_PROXY, or have the proxy %s let this through", variable, host, e.Proxy)
}

// ProxyAnswered returns an OnProxyConnectResponse for an http.Transport whose
// proxy is from a hosts.toml, or from nil, the environment. It makes a
// [ProxyError] of what a proxy answers to CONNECT, which net/http would reduce
// to its reason phrase.
func ProxyAnswered(from *hostdir.Proxy) func(context.Context, *url.URL, *http.Request, *http.Response) error {
	return func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusOK {
			if x := exchangeOf(ctx); x != nil {
				x.tunnelled.Store(true)
			}
			return nil
		}
		return &ProxyError{
			Proxy: safetext.Origin(proxy), Host: safetext.Line(req.Host, maxName),
			Status: resp.StatusCode, From: from,
		}
	}
}

// refusedByProxy is the error for an answer in plain HTTP that only a proxy gives,
// which asks for a user and a password: over TLS it has no say any more. nil is for
// any other answer.
func (x *exchange) refusedByProxy(resp *http.Response, from *hostdir.Proxy) error {
	proxy := x.proxy.Load()
	if proxy == nil || x.origin.Scheme != "http" || resp.StatusCode != http.StatusProxyAuthRequired {
		return nil
	}
	_ = resp.Body.Close() // what it says is for browsers
	return &ProxyError{
		Proxy: safetext.Origin(proxy), Host: safetext.Line(resp.Request.URL.Host, maxName),
		Method: resp.Request.Method, Status: resp.StatusCode, From: from,
	}
}

// ProxyUnreachable is what to do about a proxy that cannot be reached, or leads
// nowhere.
func ProxyUnreachable(from *hostdir.Proxy, host string) string {
	if from != nil {
		return fmt.Sprintf("see that the proxy runs and lets %s through, or correct %s in %s", host, from.Key, from.File)
	}
	return fmt.Sprintf("see that the proxy runs, correct HTTPS_PROXY, or put %s into NO_PROXY", host)
}

// proxyFailed reports whether a proxy could not be reached.
func proxyFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect")
}

// notConnected reports whether no connection came about: the name, the address
// or the port.
func notConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, new(*net.DNSError)) || errors.As(err, &op) && op.Op == "dial" || errors.Is(err, errHandshakeTimeout)
}

// beforeCertificates reports whether a server ended the handshake before it
// asked for a client certificate: no cipher suite, curve or version of TLS in
// common.
func beforeCertificates(a Attempt) bool {
	alert, ok := remoteAlert(a.Err)
	return ok && (alert == alertHandshakeFailure || alert == alertProtocolVersion || alert == alertInsufficientSecurity) && !a.Asked && !a.Resumed
}
