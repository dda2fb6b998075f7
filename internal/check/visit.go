package check

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// visit asks the servers of one registry and has the judges decide what they say.
type visit struct {
	dossier
	clock      *clock
	prober     *prober
	handshakes handshakeJudge
	answers    *answerJudge
}

// live asks the servers.
func (r *run) live(ctx context.Context) {
	hooks := debugHooks(r.debug)
	transport := &certsd.Transport{Hosts: r.hosts(), Hooks: hooks}
	defer transport.CloseIdleConnections()
	shared := &resolver.Hosts{Roots: r.Roots, SystemRoots: r.SystemRoots, SuffixDirectories: r.suffixes(), Keys: r.keys(), Hooks: resolver.Hooks{Transport: r.tried.watching(hooks), OnConvert: r.tried.isConverted}}
	defer shared.CloseIdleConnections()

	options := resolver.Options{Hosts: shared, Credentials: r.Credentials, Begin: true}
	hosts, err := shared.RegistryHostsFor(r.inspection.Name, options)
	if err != nil || len(hosts) != len(r.inspection.Host.Endpoints) {
		// The directories changed in the meantime.
		r.find(Finding{Code: PullFailed, Where: r.inspection.Name, Message: "the configuration is being changed right now", Next: "check again"})
		return
	}
	answers := &answerJudge{advice: advice{r.dossier}, shared: shared, realms: map[string]bool{}}
	// Even a pull that never ends leaves time for the push, and both for the ways.
	pull, push := r.clock.share(r.whole()*10/12), r.clock.share(r.whole()*11/12)
	v := visit{
		dossier: r.dossier, clock: r.clock, handshakes: handshakeJudge{r.dossier}, answers: answers,
		prober: &prober{dossier: r.dossier, clock: r.clock, transport: transport, shared: shared},
	}
	for i, e := range r.inspection.Host.Endpoints {
		v.endpoint(ctx, e, r.report.Endpoints[i], hosts[i], r.clock.share(r.whole()*2/3/time.Duration(len(hosts))))
	}
	if r.repository.name != "" && !r.has(NoPull) {
		within, cancel := pull(ctx)
		(&puller{dossier: r.dossier, options: options, tried: &r.tried, answers: answers}).pull(within)
		cancel()
	}
	if r.Push {
		within, cancel := push(ctx)
		(&pusher{dossier: r.dossier, options: options, tried: &r.tried}).push(within)
		cancel()
	}
}

// debugHooks returns hooks that log what is done.
func debugHooks(debug func(format string, args ...any)) certsd.Hooks {
	return certsd.Hooks{
		OnAttempt: func(a certsd.Attempt) {
			debug("attempt: %s %s with %q: %d %v", a.Method, a.URL, a.Identity, a.Status, a.Err)
		},
		OnRotate: func(s certsd.Rotation) {
			debug("rotation at %s: %s after %s, because of %s", s.Host, s.To, s.From, s.Reason)
		},
		OnHandshake: func(h certsd.Handshake) { debug("handshake with %s, %q at hand", h.Host, h.Identity) },
		OnWarning:   func(err error) { debug("warning: %v", err) },
	}
}

// endpoint asks one server: it connects, tries each identity alone, and then asks as a
// pull does.
func (v *visit) endpoint(ctx context.Context, e *certsd.Endpoint, report *Endpoint, host docker.RegistryHost, share func(context.Context) (context.Context, context.CancelFunc)) {
	report.Live = &Live{}
	within, cancel := share(ctx)
	seen := v.prober.connect(within, e)
	cancel()
	if !v.handshakes.connected(e, report.Live, &seen) {
		return
	}
	if t := report.Live.TLS; t != nil && !t.Verified && !e.SkipVerify && !e.Localhost {
		// An unverified server is shown no certificate and asked nothing.
		return
	}
	asked := e
	if report.Live.PlainHTTP {
		plain := *e
		plain.Scheme, asked = "http", &plain
	}
	for _, id := range append([]*certsd.Identity{nil}, e.Identities...) {
		within, cancel := share(ctx)
		report.Live.Answers = append(report.Live.Answers, v.prober.answer(within, asked, id))
		cancel()
	}
	v.handshakes.listed(e, report.Live, seen.cas)
	within, cancel = share(ctx)
	defer cancel()
	v.answers.root(e, report.Live, host.Host, v.prober.root(within, e, host))
}
