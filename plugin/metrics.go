package plugin

import (
	metrics "github.com/docker/go-metrics"
)

// The metrics show up at containerd's own metrics endpoint, which serves the
// default prometheus registry.
var (
	requests   metrics.LabeledCounter
	rotations  metrics.LabeledCounter
	reloads    metrics.LabeledCounter
	v1Layers   metrics.LabeledCounter
	handshakes metrics.LabeledCounter
	expiry     metrics.LabeledGauge
)

func init() {
	ns := metrics.NewNamespace("certsd", "", nil)
	requests = ns.NewLabeledCounter("requests", "Answers by registry host, client certificate and result", "host", "identity", "result")
	rotations = ns.NewLabeledCounter("rotations", "Moves to the next client certificate by registry host and reason", "host", "reason")
	expiry = ns.NewLabeledGauge("identity_expiry_timestamp", "When a client certificate expires", metrics.Seconds, "host", "identity")
	reloads = ns.NewLabeledCounter("reloads", "Changes of host directories by registry host and result", "host", "result")
	v1Layers = ns.NewLabeledCounter("v1_layers", "Layers converted from Registry v1 and schema 1 by result", "result")
	handshakes = ns.NewLabeledCounter("handshakes", "TLS handshakes by registry host", "host")
	metrics.Register(ns)
}
