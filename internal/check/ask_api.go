package check

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// prober sends requests to one server and judges nothing.
type prober struct {
	dossier
	clock *clock
	// transport sends requests with one certificate each, shared those a pull would
	// send.
	transport *certsd.Transport
	shared    *resolver.Hosts
}

// answer asks with this identity alone, or without a certificate if id is nil.
func (p *prober) answer(ctx context.Context, e *certsd.Endpoint, id *certsd.Identity) Answer {
	a := Answer{}
	if id != nil {
		a.Identity = id.Name
	}
	t := p.transport.ForIdentity(p.inspection.Name, e, id)
	defer t.CloseIdleConnections()
	with := "no certificate"
	if id != nil {
		with = id.Name
	}
	p.waiting(ctx, "the answer of %s to %s", e.Host, with)
	v2, attempt := p.get(ctx, t, e, e.Path+"/")
	a.V2, a.Offered = v2, attempt.Offered
	if e.Path == "/v2" && (v2.Status == http.StatusNotFound || p.mightSpeakV1()) {
		v1, _ := p.get(ctx, t, e, "/v1/_ping")
		a.V1 = &v1
	}
	return a
}

// mightSpeakV1 reports whether the registry may be asked over v1, or could be if it had
// a directory of its own.
func (p *prober) mightSpeakV1() bool {
	host := p.inspection.Host
	return p.shared.AllowsV1(&certsd.Host{Name: host.Name, RegistryV1: host.RegistryV1, Own: true})
}

// get sends a request without credentials and follows no redirect.
func (p *prober) get(ctx context.Context, t http.RoundTripper, e *certsd.Endpoint, path string) (Reply, certsd.Attempt) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	ctx, trail := certsd.WithTrail(ctx)
	url := e.Scheme + "://" + e.Host + path
	at := time.Now()
	resp, err := send(ctx, &http.Client{Transport: t, CheckRedirect: stay}, url, e.Header)
	if err == nil {
		drain(resp)
	}
	if err == nil || alerted(err) {
		p.clock.answered(at)
	}
	attempts := trail.Attempts()
	if len(attempts) == 0 {
		return Reply{Method: http.MethodGet, URL: url, Words: wordsOf(err)}, certsd.Attempt{}
	}
	last := attempts[len(attempts)-1]
	return p.reply(last), last
}

// rootAnswer is the answer to a pull's first request.
type rootAnswer struct {
	resp *http.Response
	body []byte
	err  error
	// attempts are the requests it took, realm the host[:port] of the token server that
	// was named.
	attempts []certsd.Attempt
	realm    string
}

// root asks for the root of the API as a pull does: one certificate after another,
// then with credentials.
func (p *prober) root(ctx context.Context, e *certsd.Endpoint, host docker.RegistryHost) rootAnswer {
	p.waiting(ctx, "the answer of %s to what a pull asks first", e.Host)
	ctx, trail := certsd.WithTrail(ctx)
	var a rootAnswer
	a.resp, a.realm, a.err = authorized(ctx, host, host.Scheme+"://"+host.Host+host.Path+"/")
	if a.err == nil {
		a.body = drain(a.resp)
	}
	a.attempts = trail.Attempts()
	return a
}

// authorized sends a request, and after a challenge sends it again with credentials.
func authorized(ctx context.Context, host docker.RegistryHost, url string) (_ *http.Response, realm string, err error) {
	client := *host.Client
	client.CheckRedirect = stay
	resp, err := send(ctx, &client, url, host.Header)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, "", err
	}
	drain(resp)
	realm = realmOf(resp)
	if err := host.Authorizer.AddResponses(ctx, []*http.Response{resp}); err != nil {
		// No credentials answer the challenge: the 401 stands.
		return resp, realm, nil
	}
	req, err := newRequest(ctx, url, host.Header)
	if err != nil {
		return nil, realm, err
	}
	if err := host.Authorizer.Authorize(ctx, req); err != nil {
		return nil, realm, &tokenError{err, realm, resp.Header.Get("Www-Authenticate")}
	}
	resp, err = client.Do(req)
	return resp, realm, err
}

// tokenError reports that no token could be obtained.
type tokenError struct {
	error
	// realm is the host[:port] of the token server, challenge the header that named it.
	realm, challenge string
}

func (e *tokenError) Unwrap() error { return e.error }

// maxBody bounds how much of a body is read.
const maxBody = 64 << 10

// drain reads a body, which records its message in the trail and frees the connection.
func drain(resp *http.Response) []byte {
	defer closing(resp.Body)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return body
}

// stay is a CheckRedirect function that follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func send(ctx context.Context, client *http.Client, url string, header http.Header) (*http.Response, error) {
	req, err := newRequest(ctx, url, header)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

func newRequest(ctx context.Context, url string, header http.Header) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", "certsd")
	return req, nil
}

func lastFor(attempts []certsd.Attempt, host string) (certsd.Attempt, bool) {
	for _, a := range slices.Backward(attempts) {
		if a.Host == host && a.Skipped == "" {
			return a, true
		}
	}
	return certsd.Attempt{}, false
}

func isTimeout(err error) bool { return errors.Is(err, context.DeadlineExceeded) }
