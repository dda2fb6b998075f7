package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
)

// expiries are the client certificates in use and when they expire. One that
// was removed is taken out, or it would raise an alarm for ever.
type expiries struct {
	gauge *prometheus.GaugeVec

	// mu guards series, by the registry they were found for.
	mu     sync.Mutex
	series map[string]map[identity]bool
}

// identity has the labels of a series.
type identity struct{ host, name string }

// maxExpiries bounds the number of registries in expiries.series.
const maxExpiries = maxHostLabels

func newExpiries() *expiries {
	return &expiries{
		gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "certsd_identity_expiry_timestamp_seconds",
			Help: "When a client certificate expires",
		}, []string{"host", "identity"}),
		series: map[string]map[identity]bool{},
	}
}

// use notes the certificates of a registry that is about to be asked.
func (e *expiries) use(host *certsd.Host) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.series) >= maxExpiries && e.series[host.Name] == nil {
		return
	}
	found := map[identity]bool{}
	for _, ep := range host.Endpoints {
		for _, id := range ep.Identities {
			s := identity{ep.Host, id.Name}
			found[s] = true
			e.set(s, id.Certificate.Leaf.NotAfter)
		}
	}
	gone := e.series[host.Name]
	e.series[host.Name] = found
	for s := range gone {
		e.forget(s)
	}
}

// forget takes out what no registry has any more.
func (e *expiries) forget(s identity) {
	if !e.used(s) {
		e.gauge.DeleteLabelValues(s.host, s.name)
	}
}

// used tells whether a registry has this certificate: mirrors are shared.
func (e *expiries) used(s identity) bool {
	for _, found := range e.series {
		if found[s] {
			return true
		}
	}
	return false
}

// present notes a certificate that was presented to a host, which may be a
// token server.
func (e *expiries) present(a certsd.Attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := identity{a.Host, a.Identity}
	if !e.used(s) {
		if len(e.series) >= maxExpiries && e.series[a.Host] == nil {
			return
		}
		if e.series[a.Host] == nil {
			e.series[a.Host] = map[identity]bool{}
		}
		e.series[a.Host][s] = true
	}
	e.set(s, a.NotAfter)
}

// reload forgets the certificates of a host whose directory changed. Those that
// are left come back with the next request.
func (e *expiries) reload(host string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for registry, found := range e.series {
		for s := range found {
			if s.host == host || registry == host {
				delete(found, s)
				e.forget(s)
			}
		}
	}
}

func (e *expiries) set(s identity, at time.Time) {
	e.gauge.WithLabelValues(s.host, s.name).Set(float64(at.Unix()))
}
