package telemetry

import (
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/resolver"
)

// state is the state of the process, as the metrics are those of the process.
var state = status.New()

// State returns the state of the process.
func State() *status.State { return state }

// ends are the metrics of when certificates of servers and CAs expire, and when client
// certificates were last accepted.
type ends struct {
	server, ca, accepted, memory *gauges
}

var _ prometheus.Collector = ends{}

func newEnds() ends {
	e := ends{
		server: newGauges(prometheus.NewDesc("certsd_server_expiry_timestamp_seconds",
			"When the certificate of a server expires, as last seen", []string{"host"}, nil)),
		ca: newGauges(prometheus.NewDesc("certsd_ca_expiry_timestamp_seconds",
			"When the CA that vouched for a server last expires, by file; system for one of the system's", []string{"ca", "host"}, nil)),
		accepted: newGauges(prometheus.NewDesc("certsd_identity_accepted_timestamp_seconds",
			"When a client certificate was last accepted", []string{"host", "identity"}, nil)),
		memory: newGauges(prometheus.NewDesc("certsd_from_memory_since_timestamp_seconds",
			"Since when what was read earlier is in use, because the files of a host are broken", []string{"host"}, nil)),
	}
	e.server.one, e.memory.one = true, true
	return e
}

// Describe implements prometheus.Collector.
func (e ends) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range []*gauges{e.server, e.ca, e.accepted, e.memory} {
		ch <- g.desc
	}
}

// Collect implements prometheus.Collector. Hosts that share a label share a series: the
// first certificate to expire counts, and the last acceptance.
func (e ends) Collect(ch chan<- prometheus.Metric) {
	servers, cas, accepted := map[labelled]time.Time{}, map[labelled]time.Time{}, map[labelled]time.Time{}
	for _, v := range state.Servers() {
		host := hostLabels.of(v.Host)
		if v.Certificate != nil {
			earliest(servers, labelled{first: host}, v.Certificate.NotAfter)
		}
		if v.CA != nil {
			file := "system"
			if v.CAFile != "" {
				file = label(filepath.Base(v.CAFile))
			}
			earliest(cas, labelled{file, host}, v.CA.NotAfter)
		}
		for name, at := range v.Accepted {
			k := labelled{host, label(name)}
			if at.After(accepted[k]) {
				accepted[k] = at
			}
		}
	}
	memory := map[labelled]time.Time{}
	for host, t := range state.Memories() {
		earliest(memory, labelled{first: hostLabels.of(host)}, t)
	}
	e.memory.collect(ch, memory)
	e.server.collect(ch, servers)
	e.ca.collect(ch, cas)
	e.accepted.collect(ch, accepted)
}

func earliest[K comparable](m map[K]time.Time, k K, t time.Time) {
	if before, ok := m[k]; !ok || t.Before(before) {
		m[k] = t
	}
}

var buildInfo = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "certsd_build_info", Help: "The version of certsd, and of the containerd that it is part of or pulls into; always 1",
}, []string{"version", "containerd"})

// Built sets the versions of a daemon. containerd may be empty.
func Built(version, containerd string) {
	state.SetVersion(version)
	buildInfo.Reset()
	buildInfo.WithLabelValues(label(version), label(containerd)).Set(1)
}

var criInfo = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "certsd_cri_info", Help: "How Kubernetes pulls, as the status says it; always 1, and no series where it is unknown",
}, []string{"cri"})

// CRI sets how Kubernetes pulls: [status.CRIUses], [status.CRIItself], or empty.
func CRI(how string) {
	criInfo.Reset()
	if how != "" {
		criInfo.WithLabelValues(how).Set(1)
	}
}

// underWay is the metric of downloads and conversions under way.
type underWay struct{ desc *prometheus.Desc }

var _ prometheus.Collector = underWay{}

func newUnderWay() underWay {
	return underWay{prometheus.NewDesc("certsd_under_way",
		"Downloads and conversions under way by kind", []string{"kind"}, nil)}
}

// Describe implements prometheus.Collector.
func (u underWay) Describe(ch chan<- *prometheus.Desc) { ch <- u.desc }

// Collect implements prometheus.Collector.
func (u underWay) Collect(ch chan<- prometheus.Metric) {
	kinds := state.UnderWay()
	for _, kind := range []string{status.Download, resolver.ProtocolV1, resolver.ProtocolSchema1} {
		ch <- prometheus.MustNewConstMetric(u.desc, prometheus.GaugeValue, float64(kinds[kind]), kind)
	}
}
