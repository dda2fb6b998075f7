package telemetry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
)

// expiries are the client certificates of the hosts in use and when they
// expire, those included that were never presented. The hosts are looked up
// again whenever the metrics are read: a certificate that was renewed or
// removed raises no alarm only because nobody has pulled since.
type expiries struct {
	desc *prometheus.Desc

	mu    sync.Mutex // guards the rest
	hosts map[hostKey]*certsd.Host
	// looked is when each was looked up last.
	looked map[hostKey]time.Time
}

// hostKey tells hosts apart that are looked up in different ways; one that
// changed takes the place of what it was before.
type hostKey struct{ name, dir, endpoints string }

func keyOf(host *certsd.Host) hostKey {
	k := hostKey{name: host.Name, dir: host.Dir}
	for _, ep := range host.Endpoints {
		k.endpoints += " " + ep.Host
	}
	return k
}

var _ prometheus.Collector = (*expiries)(nil)

// identity has the labels of a series.
type identity struct{ host, name string }

// maxExpiries bounds the number of hosts in expiries: whoever may pull images
// chooses the names where there is a _default directory.
const maxExpiries = maxHostLabels

func newExpiries() *expiries {
	return &expiries{
		desc: prometheus.NewDesc("certsd_identity_expiry_timestamp_seconds",
			"When a client certificate expires", []string{"host", "identity"}, nil),
		hosts: map[hostKey]*certsd.Host{}, looked: map[hostKey]time.Time{},
	}
}

// use notes a host that is about to be asked, or was looked up.
func (e *expiries) use(host *certsd.Host) {
	key := keyOf(host)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !hasIdentities(host):
		delete(e.hosts, key)
	case e.hosts[key] != nil || e.room(host):
		e.hosts[key] = host
	}
}

// room reports whether there is room for another host. Those that are configured
// have room of their own, which names for a _default directory do not use up. The
// caller holds mu.
func (e *expiries) room(host *certsd.Host) bool {
	most, n := maxExpiries, 0
	if isConfigured(host) {
		most = maxConfigured
	}
	for _, other := range e.hosts {
		if isConfigured(other) == isConfigured(host) {
			n++
		}
	}
	return n < most
}

// Describe implements prometheus.Collector.
func (e *expiries) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect implements prometheus.Collector. Where a certificate of one name
// occurs several times, under several roots say, the first to expire counts.
func (e *expiries) Collect(ch chan<- prometheus.Metric) {
	at := map[identity]time.Time{}
	for _, host := range e.current() {
		for _, ep := range host.Endpoints {
			for _, id := range ep.Identities {
				earliest(at, identity{ep.Host, id.Name}, id.Certificate.Leaf.NotAfter)
			}
		}
	}
	for s, t := range at {
		ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, float64(t.Unix()), s.host, s.name)
	}
}

// current returns the hosts as they are configured now. One that cannot be
// used any more, or has no certificates left, is forgotten.
func (e *expiries) current() []*certsd.Host {
	known, due := e.due()
	var hosts []*certsd.Host
	for key, host := range known {
		if !due[key] {
			hosts = append(hosts, host)
			continue
		}
		// A lookup that meets a change calls use.
		now, err := host.Current()
		if err != nil || now == nil || !hasIdentities(now) || keyOf(now) != key {
			e.forget(key, host)
		}
		if err == nil && now != nil {
			e.use(now)
			hosts = append(hosts, now)
		}
	}
	return hosts
}

// maxLooks bounds how many hosts are looked up for one look at the metrics, each
// with a stat of each of its files. Where there are more, it is the turn of those that
// were not looked at for longest.
const maxLooks = 100

// due are the hosts, and those of them whose turn it is.
func (e *expiries) due() (known map[hostKey]*certsd.Host, due map[hostKey]bool) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	known = maps.Clone(e.hosts)
	keys := slices.Collect(maps.Keys(known))
	if len(keys) > maxLooks {
		slices.SortFunc(keys, func(a, b hostKey) int { return e.looked[a].Compare(e.looked[b]) })
		keys = keys[:maxLooks]
	}
	due = make(map[hostKey]bool, len(keys))
	for _, key := range keys {
		due[key] = true
		e.looked[key] = now
	}
	maps.DeleteFunc(e.looked, func(key hostKey, _ time.Time) bool { return known[key] == nil })
	return known, due
}

// forget drops a host unless another one has taken its place.
func (e *expiries) forget(key hostKey, host *certsd.Host) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hosts[key] == host {
		delete(e.hosts, key)
	}
}

func hasIdentities(host *certsd.Host) bool {
	for _, ep := range host.Endpoints {
		if len(ep.Identities) > 0 {
			return true
		}
	}
	return false
}
