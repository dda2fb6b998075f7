package v1compat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
)

// Client speaks the Docker Registry HTTP API v1 to one registry. Only Host is
// required. A Client may be used concurrently as long as its fields stay unchanged.
// It keeps no state between calls: token, cookies and endpoints belong to one call of
// [Client.Image] and to the layers it yields.
type Client struct {
	// Host is the registry's host[:port].
	Host string
	// Scheme is "https" (the default) or "http". Nothing ever falls back from https
	// to http: not the registry, not an endpoint it names, not a redirect.
	Scheme string
	// HTTP supplies Transport and Timeout; nil means http.DefaultTransport. Its
	// CheckRedirect and Jar are ignored: redirects and cookies follow stricter rules
	// here. A nonzero Timeout replaces ClientLimits.Timeout.
	//
	// The Response field of a redirected request holds the redirecting answer, as
	// with net/http's own client. A transport that chooses TLS settings by host can
	// therefore tell redirects apart.
	HTTP *http.Client
	// Credentials returns user name and password for Host. An empty user name, or a
	// nil function, means anonymous: v1 knows no refresh tokens. Credentials are sent
	// to Host's own scheme, name and port and nowhere else.
	Credentials func(ctx context.Context, host string) (user, secret string, err error)
	// Context, if set, marks the context of every request with its repository. The
	// URLs of images, ancestries and layers do not contain it, but a transport may
	// need it.
	Context func(ctx context.Context, repository string) context.Context
	// AllowHost, if set, is called with the host:port of each host other than Host
	// that the registry names as an endpoint or redirects to. An error prevents
	// contact with that host.
	AllowHost func(host string) error
	// UserAgent defaults to "containerd-certsd".
	UserAgent string
	// Limits bound what a server can make the client do.
	Limits ClientLimits
	// Hooks observe the client.
	Hooks Hooks

	// sleep waits for d; nil is a timer. Tests replace it.
	sleep func(ctx context.Context, d time.Duration) error
}

// ClientLimits bound what a server can make the client do. Zero fields take the
// defaults given below.
type ClientLimits struct {
	// Document is the largest JSON answer in bytes: 8 MiB.
	Document int64
	// ImageJSON is the largest total size of an image's JSONs, which are held in
	// memory together, in bytes: 32 MiB.
	ImageJSON int64
	// Ancestry is the longest history: 256 images. Docker's own limit was 127
	// layers.
	Ancestry int
	// Endpoints is the number of endpoints used: 16.
	Endpoints int
	// Redirects is the number of redirects followed for one request: 10.
	Redirects int
	// Timeout bounds each attempt to read a whole document; for a layer, it bounds
	// the wait for the headers and every wait for more bytes: one minute.
	Timeout time.Duration
}

func (l ClientLimits) document() int64        { return cmp.Or(l.Document, 8<<20) }
func (l ClientLimits) imageJSON() int64       { return cmp.Or(l.ImageJSON, 32<<20) }
func (l ClientLimits) ancestry() int          { return cmp.Or(l.Ancestry, 256) }
func (l ClientLimits) endpoints() int         { return cmp.Or(l.Endpoints, 16) }
func (l ClientLimits) redirects() int         { return cmp.Or(l.Redirects, 10) }
func (l ClientLimits) timeout() time.Duration { return cmp.Or(l.Timeout, time.Minute) }

// Image finds the image that tag names in repository and reads its history. It does
// not read the layers, which the entries' Open requests. If an endpoint fails, Image
// reads everything again from the next one that the registry named.
//
// The error is errdefs.ErrNotFound, ErrUnauthenticated or ErrPermissionDenied where
// the registry said so, and errdefs.ErrInvalidArgument for a malformed repository or
// tag.
func (c *Client) Image(ctx context.Context, repository, tag string) (*Image, error) {
	if err := validTag(tag); err != nil {
		return nil, c.refuse(err)
	}
	s, err := c.open(ctx, repository)
	if err != nil {
		return nil, err
	}
	var img *Image
	ctx = s.context(ctx)
	err = s.failover(ctx, func(ep endpoint) (err error) {
		img, err = imageReader{s}.image(ctx, ep, tag)
		return err
	})
	return img, err
}

// Tags lists the tags of repository with the ids of their images.
func (c *Client) Tags(ctx context.Context, repository string) (map[string]string, error) {
	s, err := c.open(ctx, repository)
	if err != nil {
		return nil, err
	}
	var tags map[string]string
	ctx = s.context(ctx)
	err = s.failover(ctx, func(ep endpoint) (err error) {
		tags, err = tagReader{s}.listTags(ctx, ep)
		return err
	})
	return tags, err
}

// base returns the registry's own endpoint.
func (c *Client) base() (endpoint, error) {
	scheme := cmp.Or(c.Scheme, "https")
	if scheme != "https" && scheme != "http" {
		return endpoint{}, fmt.Errorf("scheme %q is neither https nor http: %w", scheme, errdefs.ErrInvalidArgument)
	}
	ep, err := newEndpoint(scheme, c.Host)
	if err != nil {
		return endpoint{}, fmt.Errorf("registry: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return ep, nil
}

// refuse returns err as the error of a request that was never made.
func (c *Client) refuse(err error) error {
	return &Error{Endpoint: cmp.Or(c.Scheme, "https") + "://" + c.Host + "/v1/", Err: err}
}

func (c *Client) warn(err error) {
	if c.Hooks.OnWarning != nil {
		c.Hooks.OnWarning(err)
	}
}

func (c *Client) transport() http.RoundTripper {
	if c.HTTP != nil && c.HTTP.Transport != nil {
		return c.HTTP.Transport
	}
	return http.DefaultTransport
}

func (c *Client) timeout() time.Duration {
	if c.HTTP != nil && c.HTTP.Timeout > 0 {
		return c.HTTP.Timeout
	}
	return c.Limits.timeout()
}

func (c *Client) userAgent() string { return cmp.Or(c.UserAgent, "containerd-certsd") }

// wait sleeps for d unless ctx ends first.
func (c *Client) wait(ctx context.Context, d time.Duration) error { return wait(ctx, d, c.sleep) }

// allowed consults AllowHost about an origin other than the registry's own.
func (c *Client) allowed(o origin) error {
	if c.AllowHost == nil {
		return nil
	}
	if err := c.AllowHost(o.hostPort()); err != nil {
		return fmt.Errorf("host %s is not allowed: %w", o.hostPort(), err)
	}
	return nil
}

// errNoHost reports an empty host name.
var errNoHost = errors.New("no host name")

// splitHostPort splits host[:port] and refuses everything else: a scheme, a path, a
// query, user information, blanks, an IPv6 zone.
func splitHostPort(s string) (host, port string, err error) {
	host = s
	if i := lastColon(s); i >= 0 {
		host, port = s[:i], s[i+1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", "", fmt.Errorf("%q is not host[:port]: bad port", clip(s))
		}
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		ip := net.ParseIP(host[1 : n-1])
		if ip == nil || ip.To4() != nil {
			return "", "", fmt.Errorf("%q is not host[:port]: bad IPv6 address", clip(s))
		}
		return host, port, nil
	}
	if host == "" {
		return "", "", errNoHost
	}
	if len(host) > 253 || !all(host, hostByte) || host[0] == '.' || host[0] == '-' {
		return "", "", fmt.Errorf("%q is not host[:port]", clip(s))
	}
	return host, port, nil
}

// lastColon returns the index of the colon before the port, or -1 without a port.
func lastColon(s string) int {
	for i := len(s) - 1; i >= 0 && s[i] != ']'; i-- {
		if s[i] == ':' {
			return i
		}
	}
	return -1
}

func hostByte(b byte) bool { return alnum(b) || b == '.' || b == '-' || b == '_' }
