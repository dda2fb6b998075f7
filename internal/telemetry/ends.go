package telemetry

import (
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/internal/status"
)

// state is what the process uses, as the metrics are those of the process.
var state = status.New()

// State is what the process uses.
func State() *status.State { return state }

// ends are when certificates of servers and CAs expire, and when client
// certificates were accepted last.
type ends struct {
	server, ca, accepted, memory *prometheus.Desc
}

var _ prometheus.Collector = ends{}

func newEnds() ends {
	return ends{
		server: prometheus.NewDesc("certsd_server_expiry_timestamp_seconds",
			"When the certificate of a server expires, as last seen", []string{"host"}, nil),
		ca: prometheus.NewDesc("certsd_ca_expiry_timestamp_seconds",
			"When the CA that vouched for a server last expires, by file; system for one of the system's", []string{"host", "ca"}, nil),
		accepted: prometheus.NewDesc("certsd_identity_accepted_timestamp_seconds",
			"When a client certificate was last accepted", []string{"host", "identity"}, nil),
		memory: prometheus.NewDesc("certsd_from_memory_since_timestamp_seconds",
			"Since when what was read earlier is in use, because the files of a host are broken", []string{"host"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (e ends) Describe(ch chan<- *prometheus.Desc) {
	ch <- e.server
	ch <- e.ca
	ch <- e.accepted
	ch <- e.memory
}

// Collect implements prometheus.Collector. Hosts that share a label share a series:
// of certificates the first to expire counts, of what was accepted the last.
func (e ends) Collect(ch chan<- prometheus.Metric) {
	servers, cas, accepted := map[string]time.Time{}, map[identity]time.Time{}, map[identity]time.Time{}
	for _, v := range state.Servers() {
		host := hostLabels.of(v.Host)
		if v.Certificate != nil {
			earliest(servers, host, v.Certificate.NotAfter)
		}
		if v.CA != nil {
			file := "system"
			if v.CAFile != "" {
				file = filepath.Base(v.CAFile)
			}
			earliest(cas, identity{host, file}, v.CA.NotAfter)
		}
		for name, at := range v.Accepted {
			k := identity{host, name}
			if at.After(accepted[k]) {
				accepted[k] = at
			}
		}
	}
	memory := map[string]time.Time{}
	for host, t := range state.Memories() {
		earliest(memory, hostLabels.of(host), t)
	}
	for host, t := range memory {
		ch <- prometheus.MustNewConstMetric(e.memory, prometheus.GaugeValue, float64(t.Unix()), host)
	}
	for host, t := range servers {
		ch <- prometheus.MustNewConstMetric(e.server, prometheus.GaugeValue, float64(t.Unix()), host)
	}
	for k, t := range cas {
		ch <- prometheus.MustNewConstMetric(e.ca, prometheus.GaugeValue, float64(t.Unix()), k.host, k.name)
	}
	for k, t := range accepted {
		ch <- prometheus.MustNewConstMetric(e.accepted, prometheus.GaugeValue, float64(t.Unix()), k.host, k.name)
	}
}

func earliest[K comparable](m map[K]time.Time, k K, t time.Time) {
	if before, ok := m[k]; !ok || t.Before(before) {
		m[k] = t
	}
}

var buildInfo = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "certsd_build_info", Help: "The version of certsd, and of the containerd that it is part of or pulls into; always 1",
}, []string{"version", "containerd"})

// Built tells the versions of a daemon. containerd may be empty.
func Built(version, containerd string) {
	state.SetVersion(version)
	buildInfo.Reset()
	buildInfo.WithLabelValues(version, containerd).Set(1)
}
