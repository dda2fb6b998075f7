package v1compat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// guard adds a request's secrets and learns from its answer. Both methods see only
// requests to the original origin, before any redirect away from it.
type guard interface {
	sign(req *http.Request)
	learn(req *http.Request, resp *http.Response) error
}

// answer is the final answer to a request, after redirects.
type answer struct {
	*http.Response
	// target is the host[:port] of a redirect to another origin, else empty.
	target string
}

// follower makes requests and follows redirects.
type follower struct{ *Client }

// get requests u and follows redirects by stricter rules than net/http, whose client
// sends Authorization to other ports, to subdomains and from https on to http, and
// the caller's headers anywhere. Here:
//
//   - https never becomes http;
//   - a redirect to another scheme, host or port carries only header, the public
//     headers, and nothing from g, not even after it leads back;
//   - loops and more than ClientLimits.Redirects redirects are errors.
//
// Errors are *Error without endpoint and path.
func (c follower) get(ctx context.Context, u *url.URL, header http.Header, g guard) (*answer, error) {
	home, away := originOf(u), false
	visited := map[string]bool{}
	var via *http.Response
	for {
		target := ""
		if away {
			target = u.Host
		}
		resp, err := c.hop(ctx, u, header, via, g, away)
		if err != nil {
			return nil, &Error{Target: target, Err: err, retry: transient(ctx, err), final: unverified(err)}
		}
		location := resp.Header.Get("Location")
		if !redirects(resp.StatusCode) || location == "" {
			return &answer{Response: resp, target: target}, nil
		}
		discard(resp)
		visited[u.String()] = true
		next, err := redirectTo(u, location)
		if err == nil && originOf(next) != home {
			away, target = true, next.Host
			err = c.allowed(originOf(next))
		}
		switch {
		case err != nil:
		case visited[next.String()]:
			err = fmt.Errorf("redirect loop at %s", place(next))
		case len(visited) > c.Limits.redirects():
			err = fmt.Errorf("more than %d redirects", c.Limits.redirects())
		}
		if err != nil {
			return nil, &Error{Target: target, Err: err, final: true}
		}
		u, via = next, resp
	}
}

// hop makes one request and follows no redirect.
func (c follower) hop(ctx context.Context, u *url.URL, header http.Header, via *http.Response, g guard, away bool) (*http.Response, error) {
	req := (&http.Request{
		Method: methodOf(ctx), URL: u, Host: u.Host, Header: header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Response: via,
	}).WithContext(ctx)
	req.Header.Set("User-Agent", c.userAgent())
	// Set explicitly, this also keeps http.Transport from decompressing: a layer is
	// wanted as it is stored, and Apache labels stored gzip as an encoding.
	req.Header.Set("Accept-Encoding", "identity")
	if !away {
		g.sign(req)
	}
	resp, err := c.transport().RoundTrip(req)
	if err != nil {
		return nil, explain(slow(ctx, err), u)
	}
	if resp.Request == nil { // http.Transport sets it; secretsSent needs it
		resp.Request = req
	}
	if !away {
		if err := g.learn(req, resp); err != nil {
			discard(resp)
			return nil, err
		}
	}
	return resp, nil
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirectTo resolves location relative to u. Its errors do not quote the location:
// signed URLs carry secrets.
func redirectTo(u *url.URL, location string) (*url.URL, error) {
	next, err := u.Parse(location)
	if err != nil {
		return nil, errors.New("redirect to a malformed location")
	}
	next.Fragment, next.RawFragment = "", ""
	switch {
	case next.Scheme != "https" && next.Scheme != "http":
		return nil, fmt.Errorf("redirect to scheme %q", clip(next.Scheme))
	case u.Scheme == "https" && next.Scheme != "https":
		return nil, fmt.Errorf("redirect from https to %s refused: it would be unencrypted", place(next))
	case next.User != nil:
		return nil, errors.New("redirect with user information refused")
	}
	if _, _, err := splitHostPort(next.Host); err != nil {
		return nil, fmt.Errorf("redirect: %w", err)
	}
	return next, nil
}

// place returns a URL without its query, which may be a signature.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// explain completes the transport's error. It unwraps a *url.Error, which would quote
// the whole URL, including the signature of a redirect target.
func explain(err error, u *url.URL) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		err = quoting.Err
	}
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) && string(plain.RecordHeader[:]) == "HTTP/" {
		return fmt.Errorf("%s speaks plain HTTP, not https: %w", u.Host, err)
	}
	return err
}

// unverified reports whether err means that the server could not be verified or does
// not speak TLS at all.
func unverified(err error) bool {
	verification := errors.As(err, new(*tls.CertificateVerificationError))
	plain := errors.As(err, new(tls.RecordHeaderError))
	return verification || plain
}

// transient reports whether a failed request is worth repeating: the connection was
// cut or timed out. A host that cannot be reached or verified does not count.
func transient(ctx context.Context, err error) bool {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSlow) {
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return true
	}
	for _, cut := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, errSlow} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return false
}
