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

// live asks the servers.
func (r *run) live(ctx context.Context) {
	hooks := certsd.Hooks{
		OnAttempt: func(a certsd.Attempt) {
			r.debug("attempt: %s %s with %q: %d %v", a.Method, a.URL, a.Identity, a.Status, a.Err)
		},
		OnRotate: func(s certsd.Rotation) {
			r.debug("rotation at %s: %s after %s, because of %s", s.Host, s.To, s.From, s.Reason)
		},
		OnHandshake: func(h certsd.Handshake) { r.debug("handshake with %s, %q at hand", h.Host, h.Identity) },
		OnWarning:   func(err error) { r.debug("warning: %v", err) },
	}
	r.transport = &certsd.Transport{Hosts: r.hosts, Hooks: hooks}
	defer r.transport.CloseIdleConnections()
	shared := hooks
	shared.OnAttempt = func(a certsd.Attempt) {
		hooks.OnAttempt(a)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, a)
	}
	r.shared = &resolver.Hosts{Roots: r.Roots, SystemRoots: r.SystemRoots, SuffixDirectories: r.suffixes(), Keys: r.keys(), Hooks: resolver.Hooks{Transport: shared, OnConvert: r.isConverted}}
	defer r.shared.CloseIdleConnections()

	options := resolver.Options{Hosts: r.shared, Credentials: r.Credentials, Begin: true}
	hosts, err := r.shared.RegistryHostsFor(r.inspection.Name, options)
	if err != nil || len(hosts) != len(r.inspection.Host.Endpoints) {
		// The directories changed just now.
		r.find(Finding{Severity: isError, Code: PullFailed, Where: r.inspection.Name, Message: "the configuration changes at this moment", Next: "check again"})
		return
	}
	// A pull that never ends leaves time for the push, and both for the ways.
	pull, push := r.share(r.whole()*10/12), r.share(r.whole()*11/12)
	for i, e := range r.inspection.Host.Endpoints {
		r.endpoint(ctx, e, r.report.Endpoints[i], hosts[i], r.share(r.whole()*2/3/time.Duration(len(hosts))))
	}
	if r.repository.name != "" && !r.has(NoPull) {
		within, cancel := pull(ctx)
		r.pull(within, options)
		cancel()
	}
	if r.Push {
		within, cancel := push(ctx)
		r.push(within, options)
		cancel()
	}
}

func (r *run) isConverted(_ context.Context, c resolver.Conversion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.converted = c.Protocol
}

// endpoint asks one server: for a connection, with each identity alone, and in
// the way a pull does.
func (r *run) endpoint(ctx context.Context, e *certsd.Endpoint, report *Endpoint, host docker.RegistryHost, share func(context.Context) (context.Context, context.CancelFunc)) {
	report.Live = &Live{}
	within, cancel := share(ctx)
	reached := r.connect(within, e, report.Live)
	cancel()
	if !reached {
		return
	}
	if t := report.Live.TLS; t != nil && !t.Verified && !e.SkipVerify && !e.Localhost {
		// It is shown no certificate, and asked nothing.
		return
	}
	asked := e
	if report.Live.PlainHTTP {
		plain := *e
		plain.Scheme, asked = "http", &plain
	}
	for _, id := range append([]*certsd.Identity{nil}, e.Identities...) {
		within, cancel := share(ctx)
		report.Live.Answers = append(report.Live.Answers, r.answer(within, asked, id))
		cancel()
	}
	r.listed(e, report.Live)
	within, cancel = share(ctx)
	defer cancel()
	r.asPull(within, e, report.Live, host)
}

// answer asks with one identity, nil for none, and no other.
func (r *run) answer(ctx context.Context, e *certsd.Endpoint, id *certsd.Identity) Answer {
	a := Answer{}
	if id != nil {
		a.Identity = id.Name
	}
	t := r.transport.ForIdentity(r.inspection.Name, e, id)
	defer t.CloseIdleConnections()
	with := "no certificate"
	if id != nil {
		with = id.Name
	}
	r.waiting(ctx, "the answer of %s to %s", e.Host, with)
	v2, attempt := r.get(ctx, t, e, e.Path+"/")
	a.V2, a.Offered = v2, attempt.Offered
	if e.Path == "/v2" && (v2.Status == http.StatusNotFound || r.mightSpeakV1()) {
		v1, _ := r.get(ctx, t, e, "/v1/_ping")
		a.V1 = &v1
	}
	return a
}

// mightSpeakV1 reports whether the registry may be asked in the v1 protocol, or might
// be if it had a directory of its own.
func (r *run) mightSpeakV1() bool {
	host := r.inspection.Host
	return r.shared.AllowsV1(&certsd.Host{Name: host.Name, RegistryV1: host.RegistryV1, Own: true})
}

// get makes a request without credentials and follows no redirect.
func (r *run) get(ctx context.Context, t http.RoundTripper, e *certsd.Endpoint, path string) (Reply, certsd.Attempt) {
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
		r.answered(at)
	}
	attempts := trail.Attempts()
	if len(attempts) == 0 {
		return Reply{Method: http.MethodGet, URL: url, Words: wordsOf(err)}, certsd.Attempt{}
	}
	last := attempts[len(attempts)-1]
	return r.reply(last), last
}

// maxBody is how much of an answer is read.
const maxBody = 64 << 10

// drain reads an answer, so that the trail has what it says, and its connection
// can be used again.
func drain(resp *http.Response) []byte {
	defer closing(resp.Body)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return body
}

// stay follows no redirect.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func send(ctx context.Context, client *http.Client, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", "certsd")
	return client.Do(req)
}

// asPull asks as a pull does: one certificate after another, then with
// credentials.
func (r *run) asPull(ctx context.Context, e *certsd.Endpoint, live *Live, host docker.RegistryHost) {
	r.waiting(ctx, "the answer of %s to what a pull asks first", e.Host)
	ctx, trail := certsd.WithTrail(ctx)
	url := host.Scheme + "://" + host.Host + host.Path + "/"
	resp, err := r.authorized(ctx, host, url)
	var body []byte
	if err == nil {
		body = drain(resp)
	}
	attempts := trail.Attempts()
	for _, a := range attempts {
		r.elsewhere(e, a)
	}
	if err != nil {
		r.failed(e, err, attempts)
		return
	}
	if a, ok := lastFor(attempts, host.Host); ok && r.presented(a) {
		live.Identity = a.Identity
	}
	live.Status = resp.StatusCode
	r.judge(e, live, resp, body, attempts)
}

// authorized makes a request, and after a challenge once more with what answers
// it.
func (r *run) authorized(ctx context.Context, host docker.RegistryHost, url string) (*http.Response, error) {
	client := *host.Client
	client.CheckRedirect = stay
	resp, err := send(ctx, &client, url, host.Header)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	drain(resp)
	if realm := realmOf(resp); realm != "" {
		r.realms[realm] = true
	}
	if err := host.Authorizer.AddResponses(ctx, []*http.Response{resp}); err != nil {
		// Nothing answers the challenge: the 401 stands.
		return resp, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range host.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", "certsd")
	if err := host.Authorizer.Authorize(ctx, req); err != nil {
		return nil, &tokenError{err, realmOf(resp), resp.Header.Get("Www-Authenticate")}
	}
	return client.Do(req)
}

// tokenError is why no token was to be had.
type tokenError struct {
	error
	// realm is the host[:port] of the token server, challenge what named it.
	realm, challenge string
}

func (e *tokenError) Unwrap() error { return e.error }

// presented reports whether the server got to see the identity of an attempt: many
// do not ask.
func (r *run) presented(a certsd.Attempt) bool {
	return a.Identity != "" && (a.Offered || a.Resumed && !r.asksNobody(a.Host))
}

// asksNobody reports whether an endpoint shook hands without asking for a
// certificate, which a session that was taken up again does not show.
func (r *run) asksNobody(host string) bool {
	for i, e := range r.inspection.Host.Endpoints {
		if live := r.report.Endpoints[i].Live; e.Host == host && live != nil && live.TLS != nil {
			return !live.TLS.Asked
		}
	}
	return false
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
