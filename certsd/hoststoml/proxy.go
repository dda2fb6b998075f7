package hoststoml

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Proxy is how to reach a server: through a proxy, or explicitly without one. Printing
// it does not reveal user and password.
type Proxy struct {
	url *url.URL
}

// noProxy is the value for no proxy, even if the environment sets one.
const noProxy = "none"

// URL returns the proxy's URL with user and password, nil for no proxy.
func (p Proxy) URL() *url.URL { return p.url }

// String returns the proxy without user and password, or "none".
func (p Proxy) String() string {
	if p.url == nil {
		return noProxy
	}
	return (&url.URL{Scheme: p.url.Scheme, Host: p.url.Host}).String()
}

// GoString implements fmt.GoStringer.
func (p Proxy) GoString() string { return "hoststoml.Proxy(" + p.String() + ")" }

// Equal reports whether two proxies are the same, their users and passwords
// included.
func (p Proxy) Equal(other Proxy) bool {
	if p.url == nil || other.url == nil {
		return p.url == other.url
	}
	return p.url.String() == other.url.String()
}

// schemes are the URL schemes of the proxies that net/http supports.
var schemes = []string{"http", "https", "socks5", "socks5h"}

// proxy reads a key of the table; nil means the proxy in the environment.
func (t section) proxy(name string) *Proxy {
	text := t.string(name)
	if text == "" {
		return nil
	}
	proxy, err := parseProxy(text)
	if err != nil {
		t.fail(name, "%w", err)
		return nil
	}
	return proxy
}

// parseProxy parses a proxy. Its errors quote nothing of the text that may be part of a
// user or password.
func parseProxy(text string) (*Proxy, error) {
	if text == noProxy {
		return &Proxy{}, nil
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		if isWord(text) && nearest(text, []string{noProxy}) != "" {
			return nil, errors.New(`"` + text + `" is not a proxy; did you mean "none"?`)
		}
		return nil, errors.New(`is not the URL of a proxy, such as "http://proxy.example:3128", and not "none"`)
	}
	if !slices.Contains(schemes, strings.ToLower(scheme)) {
		said := ""
		if isWord(scheme) {
			said = ` "` + scheme + `"`
			if hint := nearest(scheme, schemes); hint != "" {
				return nil, errors.New("scheme" + said + `; did you mean "` + hint + `"?`)
			}
		}
		return nil, errors.New("scheme" + said + ": must be http, https, socks5 or socks5h")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.Contains(rest, "@"):
		// The text of err may quote the password.
		return nil, errors.New("is not a URL; in user and password write %25 for %, %23 for #, %2F for / and %3F for ?")
	case err != nil:
		return nil, errors.New("is not a URL")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a path, query or fragment is not allowed here; in user and password write %23 for #, %2F for / and %3F for ?")
	case u.Host == "":
		return nil, errors.New("does not name a host")
	}
	if _, err := hostname.Canonical(u.Host); err != nil {
		return nil, errors.New("the host or its port is not valid")
	}
	u.Path, u.RawPath = "", ""
	return &Proxy{url: u}, nil
}

// isWord reports whether a text is short and consists of letters and digits alone.
func isWord(text string) bool {
	return len(text) <= 8 && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
