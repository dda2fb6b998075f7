package hostdir

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"

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
	From *Proxy
}

// Error names the proxy and what to do.
func (e *ProxyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("proxy %s does not lead to %s: %s", e.Proxy, e.Host, safetext.Line(e.Err.Error(), safetext.MaxURL))
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
		return e.From.Unreachable(host)
	}
	variable := "HTTPS_PROXY"
	if e.Method != "" {
		variable = "HTTP_PROXY"
	}
	// Tinyproxy answers a wrong password with 401.
	switch wanted := e.Status == http.StatusProxyAuthRequired || e.Status == http.StatusUnauthorized; {
	case e.From != nil && wanted:
		return fmt.Sprintf("the proxy %s refused the user or the password: correct them in %s in %s (http://USER:PASSWORD@HOST:PORT)", e.Proxy, e.From.Key, e.From.File)
	case e.From != nil:
		return fmt.Sprintf("have the proxy %s let %s through, or correct %s in %s", e.Proxy, host, e.From.Key, e.From.File)
	case wanted:
		return fmt.Sprintf("the proxy %s requires a user and a password: add them to %s (http://USER:PASSWORD@HOST:PORT), or put %s into NO_PROXY", e.Proxy, variable, host)
	}
	return fmt.Sprintf("correct %s, put %s into NO_PROXY, or have the proxy %s let this through", variable, host, e.Proxy)
}

// Answered is the OnProxyConnectResponse of an http.Transport with this proxy. It
// makes a [ProxyError] of what a proxy answers to CONNECT, which net/http would
// reduce to its reason phrase.
func (p *Proxy) Answered(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{
		Proxy: safetext.Origin(proxy), Host: safetext.Line(req.Host, safetext.MaxName),
		Status: resp.StatusCode, From: p,
	}
}

// Unreachable is what to do about a proxy that cannot be reached, or leads
// nowhere.
func (p *Proxy) Unreachable(host string) string {
	if p != nil {
		return fmt.Sprintf("check that the proxy is running and lets %s through, or correct %s in %s", host, p.Key, p.File)
	}
	return fmt.Sprintf("check that the proxy is running, correct HTTPS_PROXY, or put %s into NO_PROXY", host)
}
