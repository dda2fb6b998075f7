package telemetry

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
)

// expiries are the metrics of when the client certificates of the hosts in use expire,
// including those never presented. The hosts are looked up again whenever the metrics
// are read: otherwise a renewed or removed certificate would raise an alarm until the
// next pull.
type expiries struct {
	shown *gauges

	mu    sync.Mutex // guards the rest
	hosts map[hostKey]*known
	// of are the hosts whose certificates were shown last, series their metrics, which
	// stay the same as long as the hosts do.
	of     map[*certsd.Host]bool
	series []prometheus.Metric
}

// known is a host with the time of its last lookup.
type known struct {
	key    hostKey
	host   *certsd.Host
	looked time.Time
}

// hostKey distinguishes hosts that are looked up in different ways; a changed host
// replaces its former value.
type hostKey struct{ name, dir, endpoints string }

func keyOf(host *certsd.Host) hostKey {
	k := hostKey{name: host.Name, dir: host.Dir}
	for _, ep := range host.Endpoints {
		k.endpoints += " " + ep.Host
	}
	return k
}

var _ prometheus.Collector = (*expiries)(nil)

// maxExpiries bounds the number of hosts in expiries: with a _default directory,
// whoever may pull images chooses their names.
const maxExpiries = maxHostLabels

func newExpiries() *expiries {
	return &expiries{
		shown: newGauges(prometheus.NewDesc("certsd_identity_expiry_timestamp_seconds",
			"When a client certificate expires", []string{"host", "identity"}, nil)),
		hosts: map[hostKey]*known{},
	}
}

// use records a host that is about to be asked, or was looked up.
func (e *expiries) use(host *certsd.Host) {
	key := keyOf(host)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch before := e.hosts[key]; {
	case !hasIdentities(host):
		delete(e.hosts, key)
	case before != nil:
		before.host = host
	case e.room(host):
		e.hosts[key] = &known{key: key, host: host}
	}
}

// room reports whether there is room for another host. Configured hosts have their own
// room, which names for a _default directory cannot use up. The caller holds mu.
func (e *expiries) room(host *certsd.Host) bool {
	most, n := maxExpiries, 0
	if isConfigured(host) {
		most = maxConfigured
	}
	for _, other := range e.hosts {
		if isConfigured(other.host) == isConfigured(host) {
			n++
		}
	}
	return n < most
}

// Describe implements prometheus.Collector.
func (e *expiries) Describe(ch chan<- *prometheus.Desc) { ch <- e.shown.desc }

// Collect implements prometheus.Collector. If certificates share a name, as under
// several roots, the first to expire counts.
func (e *expiries) Collect(ch chan<- prometheus.Metric) {
	for _, m := range e.metrics(e.current()) {
		ch <- m
	}
}

// metrics returns the series of hosts.
func (e *expiries) metrics(hosts []*certsd.Host) []prometheus.Metric {
	e.mu.Lock()
	defer e.mu.Unlock()
	same := e.of != nil && len(hosts) == len(e.of)
	for i := 0; same && i < len(hosts); i++ {
		same = e.of[hosts[i]]
	}
	if same {
		return e.series
	}
	e.of = make(map[*certsd.Host]bool, len(hosts))
	at := make(map[labelled]time.Time, len(e.series))
	for _, host := range hosts {
		e.of[host] = true
		for _, ep := range host.Endpoints {
			for _, id := range ep.Identities {
				earliest(at, labelled{label(ep.Host), label(id.Name)}, id.Certificate.Leaf.NotAfter)
			}
		}
	}
	e.series = e.shown.of(at)
	return e.series
}

// current returns the hosts with their present configuration, each once. It forgets
// those that cannot be used any more, or have no certificates left.
func (e *expiries) current() []*certsd.Host {
	hosts, due := e.due()
	for _, k := range due {
		// A lookup that finds a change calls use.
		now, err := k.host.Current()
		if err != nil || now == nil || !hasIdentities(now) || keyOf(now) != k.key {
			e.forget(k)
		}
		if err == nil && now != nil {
			e.use(now)
			hosts = append(hosts, now)
		}
	}
	return hosts
}

// maxLooks bounds how many hosts are looked up for one reading of the metrics, each
// with a stat of each of its files. If there are more, those looked up the longest time
// ago come first.
const maxLooks = 100

// due returns the hosts to look up now, and the rest.
func (e *expiries) due() (rest []*certsd.Host, due []known) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Collect(maps.Values(e.hosts))
	if len(all) > maxLooks {
		slices.SortFunc(all, func(a, b *known) int { return a.looked.Compare(b.looked) })
	}
	for i, k := range all {
		if i >= maxLooks {
			rest = append(rest, k.host)
			continue
		}
		k.looked = now
		due = append(due, *k)
	}
	return rest, due
}

// forget drops a host unless another has replaced it.
func (e *expiries) forget(k known) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.hosts[k.key]; now != nil && now.host == k.host {
		delete(e.hosts, k.key)
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
