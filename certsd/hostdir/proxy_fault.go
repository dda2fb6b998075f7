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

// ProxyError reports that a proxy did not connect to a server: the answer is the
// proxy's own, not the server's.
type ProxyError struct {
	// Proxy is its URL without user and password, Host the host:port that it was
	// to connect to.
	Proxy, Host string
	// Method is the method of the plain HTTP request that the proxy refused, empty for
	// CONNECT.
	Method string
	// Status is the status of the proxy's answer, zero without an answer.
	Status int
	// Err is the failure if there was no answer, otherwise nil.
	Err error
	// From is the hosts.toml that names the proxy, nil for the environment.
	From *Proxy
}

// Error names the proxy and what it failed to do.
func (e *ProxyError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("proxy %s does not lead to %s: %s", e.Proxy, e.Host, safetext.Line(e.Err.Error(), safetext.MaxURL))
	}
	return fmt.Sprintf("proxy %s answers %d %s to %s %s", e.Proxy, e.Status, http.StatusText(e.Status), cmp.Or(e.Method, http.MethodConnect), e.Host)
}

// Unwrap returns the failure, nil if there was an answer.
func (e *ProxyError) Unwrap() error { return e.Err }

// Hint returns the next step for the user.
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

// Answered is the OnProxyConnectResponse of an http.Transport with this proxy. It turns
// a proxy's refusal of CONNECT into a [ProxyError]; net/http would reduce it to its
// reason phrase.
func (p *Proxy) Answered(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	return &ProxyError{
		Proxy: safetext.Origin(proxy), Host: safetext.Line(req.Host, safetext.MaxName),
		Status: resp.StatusCode, From: p,
	}
}

// Unreachable returns the next step for a proxy that cannot be reached or does not
// connect to host.
func (p *Proxy) Unreachable(host string) string {
	if p != nil {
		return fmt.Sprintf("check that the proxy is running and lets %s through, or correct %s in %s", host, p.Key, p.File)
	}
	return fmt.Sprintf("check that the proxy is running, correct HTTPS_PROXY, or put %s into NO_PROXY", host)
}
