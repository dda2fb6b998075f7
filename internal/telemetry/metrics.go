package telemetry

import (
	"net/http"
	"path/filepath"
	"sync"

	metrics "github.com/docker/go-metrics"

	"github.com/certsd/containerd-certsd/certsd"
)

// The metrics, in the default prometheus registry, which containerd's own metrics
// endpoint serves.
var (
	requests   metrics.LabeledCounter
	rotations  metrics.LabeledCounter
	reloads    metrics.LabeledCounter
	v1Layers   metrics.LabeledCounter
	handshakes metrics.LabeledCounter
	expiry     = newExpiries()
)

func init() {
	ns := metrics.NewNamespace("certsd", "", nil)
	requests = ns.NewLabeledCounter("requests", "Answers by registry host, client certificate and result", "host", "identity", "result")
	rotations = ns.NewLabeledCounter("rotations", "Moves to the next client certificate by registry host and reason", "host", "reason")
	reloads = ns.NewLabeledCounter("reloads", "Changes of host directories by registry host and result", "host", "result")
	v1Layers = ns.NewLabeledCounter("v1_layers", "Layers converted from Registry v1 and schema 1 by result", "result")
	handshakes = ns.NewLabeledCounter("handshakes", "TLS handshakes by registry host", "host")
	ns.Add(expiry)
	ns.Add(newEnds())
	ns.Add(buildInfo)
	ns.Add(criInfo)
	ns.Add(newUnderWay())
	metrics.Register(ns)
}

// Handler serves the metrics of the process, as containerd's endpoint does.
func Handler() http.Handler { return metrics.Handler() }

// maxHostLabels bounds the values of the label host: whoever may pull images chooses
// the names, servers lead to others, and no value is ever forgotten.
const maxHostLabels = 1000

// maxConfigured bounds the labels of configured hosts. They are counted separately, to
// keep others from using them up.
const maxConfigured = 10_000

// otherHosts is the label of all further hosts.
const otherHosts = "other"

// labels holds the hosts that have a label of their own.
type labels struct {
	mu sync.Mutex // guards the rest
	// configured are the hosts that a person has named, known the others.
	configured, known map[string]bool
}

var hostLabels labels

// of returns the label for a host.
func (l *labels) of(host string) string {
	host = label(host)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.configured[host] || l.known[host] {
		return host
	}
	if len(l.known) >= maxHostLabels {
		return otherHosts
	}
	if l.known == nil {
		l.known = map[string]bool{}
	}
	l.known[host] = true
	return host
}

// keep gives configured hosts labels of their own.
func (l *labels) keep(hosts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.configured == nil {
		l.configured = map[string]bool{}
	}
	for _, host := range hosts {
		if host = label(host); len(l.configured) < maxConfigured {
			l.configured[host] = true
			delete(l.known, host)
		}
	}
}

// use records a host that is about to be asked, or was looked up. A _default directory
// does not configure a host: others choose which hosts use it.
func (l *labels) use(host *certsd.Host) {
	if !isConfigured(host) {
		return
	}
	names := []string{host.Name}
	for _, ep := range host.Endpoints {
		names = append(names, ep.Host)
	}
	l.keep(names...)
}

// isConfigured reports whether a host has a directory of its own.
func isConfigured(host *certsd.Host) bool {
	return host.Dir != "" && filepath.Base(host.Dir) != "_default"
}

// Configured adds hosts that a person has named other than by a directory: they keep
// labels of their own, however many others are asked for.
func Configured(hosts ...string) { hostLabels.keep(hosts...) }
