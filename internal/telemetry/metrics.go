package telemetry

import (
	"net/http"
	"sync"

	metrics "github.com/docker/go-metrics"
)

// The metrics are in the default prometheus registry, which containerd's own
// metrics endpoint serves.
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
	metrics.Register(ns)
}

// Handler serves the metrics of the process, as containerd's endpoint does.
func Handler() http.Handler { return metrics.Handler() }

// maxHostLabels bounds the values of the label host: whoever may pull images
// chooses the names, and no value is ever forgotten.
const maxHostLabels = 1000

// otherHosts is the label of the hosts beyond.
const otherHosts = "other"

// labels are the hosts that have been given a label of their own.
type labels struct {
	mu    sync.Mutex // guards known
	known map[string]bool
}

var hostLabels labels

// of returns the label for a host.
func (l *labels) of(host string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[host] {
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
