// Package gateway serves the pull side of the OCI distribution API on behalf of
// registries that its clients cannot use themselves: those that want a client
// certificate, speak only Registry v1 or serve schema 1 manifests. It is one
// local endpoint over the same resolver that the plugin gives containerd.
//
// A request says which registry it is for by containerd's "?ns=HOST", or by
// the first element of the path: /v2/HOST/REPOSITORY/manifests/TAG.
//
// config.go and run.go run a [Config] as the daemon, which listens by listen.go,
// tls.go and connections.go. Then read it in the order of a request:
//
//	gateway.go       which way it goes
//	admit.go         lets it in, by secret.go and login.go
//	target.go        what it asks for, and with whom it shares the answer
//	upstream.go      which registry is asked; limit.go and shares.go, how many at a time
//	manifest.go      a manifest; conversions.go and conversion_flight.go make what is not there
//	blob.go          a blob; spool.go shares its download
//	list.go          tags and referrers
//	store.go         what was converted: heal.go, space.go, evict.go, labels.go
//	fault.go         the answer where something fails; late_answer.go, where it takes too long
//
// health.go and status.go serve the other pages; status_client.go and clients.go have
// what the commands ask and print.
package gateway

import (
	"cmp"
	"context"
	"crypto/x509"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/resolver"
)

// options are the settings of a [server]. Only Hosts, and one of Secret and
// AllowAnyLocal, must be set.
type options struct {
	// Hosts are the registries, configured as for pulls.
	Hosts *resolver.Hosts
	// Credentials returns user and secret for a registry's host[:port] and a
	// repository there; without a user the secret is a refresh token. nil means
	// anonymous. The Authorization of a client is for the gateway and never reaches
	// a registry.
	Credentials func(host, repository string) (user, secret string, err error)
	// Secret admits clients. nil admits nobody, or everybody if AllowAnyLocal.
	Secret *sharedSecret
	// AllowAnyLocal admits every client that can connect.
	AllowAnyLocal bool
	// PassCredentials lets clients that send the secret in the header send user and
	// password for the registry in Authorization, and asks for them if the registry
	// requires any.
	PassCredentials bool
	// StillTrusts reports whether a client certificate, with the chain presented in its
	// handshake, is still accepted. nil means that it is.
	StillTrusts func(ctx context.Context, shown []*x509.Certificate) bool
	// Upstreams are registries, host[:port], that may be asked without a directory of
	// their own. Other registries without one are refused.
	Upstreams []string
	// Names may be in Host in addition to those of the loopback interface.
	Names []string
	// Store keeps converted images. nil means that Registry v1 and schema 1 images are
	// refused.
	Store *imageStore
	// SpoolDir is the directory for shared downloads, SpoolSize their limit in bytes.
	// Zero disables sharing.
	SpoolDir  string
	SpoolSize int64
	// MaxDownloads is the number of layers that all conversions together fetch at a
	// time. Zero means 6.
	MaxDownloads int
	// MaxUpstream is the number of concurrent requests to registries. Zero means 64.
	MaxUpstream int
	// WriteStall is how long a client may read nothing before its connection is cut.
	// Zero means defaultWriteStall.
	WriteStall time.Duration
	// Patience is how long a request waits for a registry to answer, and for a
	// conversion before the client is told to ask again. Zero means defaultPatience.
	Patience time.Duration
}

// server is an http.Handler, safe for concurrent use; see [newServer].
//
// A request passes the gate and is answered by manifests, blobs or lists, which ask
// registries through upstreams.
type server struct {
	gate      *gate
	logins    *logins
	upstreams *upstreams
	manifests *manifests
	blobs     *blobs
	lists     *lists
	pages     *pages
	flights   *flights
	spools    *spools
	refusals  refusals
	stall     time.Duration
	patience  time.Duration
	// serving is held by requests; Close waits for them with it.
	serving sync.RWMutex
	// stopping reports whether the gateway is being stopped.
	stopping atomic.Bool
}

var _ http.Handler = (*server)(nil)

// newServer returns a server, which must be closed. ctx carries the logger; conversions
// end with it. An error is about the options.
func newServer(ctx context.Context, o options) (*server, error) {
	o.Patience = cmp.Or(o.Patience, defaultPatience)
	up, err := newUpstreams(&o)
	if err != nil {
		return nil, err
	}
	g := newGate(&o)
	kept := &shelf{store: o.Store, upstreams: up}
	s := &server{
		gate:      g,
		logins:    newLogins(&o),
		upstreams: up,
		lists:     &lists{up},
		flights:   newFlights(ctx),
		stall:     cmp.Or(o.WriteStall, defaultWriteStall),
		patience:  o.Patience,
	}
	s.spools = &spools{dir: o.SpoolDir, limit: o.SpoolSize, ctx: s.flights.ctx, open: up.openBlob, byName: map[string]*spool{}}
	s.blobs = &blobs{shelf: kept, upstreams: up, spools: s.spools}
	s.manifests = &manifests{shelf: kept, upstreams: up, conversions: &conversions{shelf: kept, upstreams: up, flights: s.flights}}
	s.pages = &pages{gate: g, hosts: o.Hosts, store: o.Store, spools: s.spools, stopping: func() bool {
		return s.flights.ctx.Err() != nil || s.stopping.Load()
	}}
	return s, nil
}

// Close stops downloads and conversions, and waits for them. The next process continues
// them.
func (s *server) Close() {
	s.flights.cancel()
	s.serving.Lock()
	defer s.serving.Unlock()
	s.flights.wait.Wait()
	s.spools.wait.Wait()
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.pages.serve(w, r) {
		return
	}
	s.serving.RLock()
	defer s.serving.RUnlock()
	rec := &recorder{ResponseWriter: w, deadline: deadline{control: http.NewResponseController(w), stall: s.stall, conn: connIn(r.Context())}}
	defer s.logAccess(r, rec, time.Now())
	if err := s.serve(rec, r); err != nil {
		f := faultOf(err)
		rec.reason = f.message
		writeFault(rec, r, f)
	}
}

// serve answers a request, or returns an error before anything was written.
func (s *server) serve(w *recorder, r *http.Request) error {
	if err := s.gate.admit(r); err != nil {
		return err
	}
	if strings.Contains(strings.Join(r.Header.Values("Via"), ","), s.upstreams.id) {
		return errLoop
	}
	if r.ContentLength != 0 {
		// No served request has a body: do not wait for a slow one.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return errMethod
	}
	t, err := parseTarget(r.URL)
	if err != nil {
		return err
	}
	if t.kind == kindBase {
		return serveBase(w, r)
	}
	if err := s.upstreams.mayAsk(t.host); err != nil {
		return err
	}
	t.login = s.logins.of(r, t.host)
	if err := s.upstreams.wasRefused(t); err != nil {
		return err
	}
	t.via = strings.Join(r.Header.Values("Via"), ", ")
	ctx, answered := hurry(withVia(r.Context(), t.via), t.host, s.patience)
	defer answered()
	w.onHeader = func() { answered() }
	return s.askForLogin(r, t, lateFault(ctx, s.serveTarget(w, r.WithContext(ctx), t)))
}

// serveTarget answers a request for a registry's content.
func (s *server) serveTarget(w http.ResponseWriter, r *http.Request, t *target) error {
	switch t.kind {
	case kindManifest:
		return s.manifests.serve(w, r, t)
	case kindBlob:
		return s.blobs.serve(w, r, t)
	case kindTags:
		return s.lists.serveTags(w, r, t)
	case kindReferrers:
		return s.lists.serveReferrers(w, r, t)
	default:
		return errUnknownPath
	}
}

// serveBase confirms to clients that this is a v2 registry and that they are admitted.
func serveBase(w http.ResponseWriter, r *http.Request) error {
	return writeJSON(w, r, http.StatusOK, "application/json", []byte("{}\n"))
}
