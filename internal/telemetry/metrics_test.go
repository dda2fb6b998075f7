package telemetry

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/v1compat"
)

// hostsSeen counts the hosts of tests.
var hostsSeen atomic.Int64

// newHost returns a host of its own for each run of a test: the registry of
// metrics is the process's, and what is in it stays.
func newHost() string { return fmt.Sprintf("metrics%d.test:5000", hostsSeen.Add(1)) }

// gather returns what containerd's metrics endpoint shows of a host: names with
// their labels, and values.
func gather(t *testing.T, host string) map[string]float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var pairs []string
			ours := host == ""
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName()+"="+l.GetValue())
				ours = ours || l.GetName() == "host" && l.GetValue() == host
			}
			if ours {
				found[f.GetName()+"{"+strings.Join(pairs, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return found
}

func TestMetricsHaveTheNamesAndLabelsThatOthersRelyOn(t *testing.T) {
	t.Parallel()
	host := newHost()
	h := Hooks(log.L)
	attempt := certsd.Attempt{Registry: host, Host: host, Identity: "alpha.cert"}
	for _, a := range []func(*certsd.Attempt){
		func(a *certsd.Attempt) { a.Status = http.StatusForbidden },
		func(a *certsd.Attempt) { a.Status = http.StatusOK },
		func(a *certsd.Attempt) { a.Status = http.StatusOK },
		func(a *certsd.Attempt) { a.Err = &net.OpError{Op: "dial"} },
		func(a *certsd.Attempt) { a.Err = &net.DNSError{} },
		func(a *certsd.Attempt) { a.Err = &net.OpError{Op: "proxyconnect"} },
		func(a *certsd.Attempt) { a.Err, a.Refused = &net.OpError{Op: "remote error"}, true },
		func(a *certsd.Attempt) { a.Status, a.Refused = http.StatusBadRequest, true },
		func(a *certsd.Attempt) { a.Status = http.StatusBadRequest },
		func(a *certsd.Attempt) { a.Err = &net.OpError{Op: "remote error"} },
		func(a *certsd.Attempt) { a.Err = &certsd.VerificationError{Err: errors.New("unknown")} },
		func(a *certsd.Attempt) { a.Err = fmt.Errorf("tls: %w", &tls.CertificateVerificationError{}) },
		func(a *certsd.Attempt) { a.Err = errors.New("cut") },
		func(a *certsd.Attempt) { a.Skipped = "expired" },
	} {
		one := attempt
		a(&one)
		h.Transport.OnAttempt(one)
	}
	h.Transport.OnRotate(certsd.Rotation{Host: host, From: "alpha.cert", To: "bravo.cert", Reason: "403"})
	h.Transport.OnHandshake(certsd.Handshake{Host: host})
	h.OnReload(hostdir.Reload{Host: host, Err: errors.New("half written")})
	h.OnReload(hostdir.Reload{Host: host, Changed: true})
	h.OnReload(hostdir.Reload{Host: host, Warnings: []error{errors.New("no key")}})
	want := map[string]float64{
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=200}":     2,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=403}":     1,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=dial}":    3,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=error}":   2,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=400}":     1,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=refused}": 2,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=verify}":  2,
		"certsd_rotations_total{host=" + host + ",reason=403}":                        1,
		"certsd_handshakes_total{host=" + host + "}":                                  1,
		"certsd_reloads_total{host=" + host + ",result=failed}":                       1,
		"certsd_reloads_total{host=" + host + ",result=changed}":                      1,
	}
	if diff := cmp.Diff(want, gather(t, host)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	before := gather(t, "")
	h.OnLayer(v1compat.Progress{Offset: 1})
	h.OnLayer(v1compat.Progress{Done: true})
	h.OnLayer(v1compat.Progress{Known: true, Done: true})
	after := gather(t, "")
	for _, result := range []string{"converted", "known"} {
		if name := "certsd_v1_layers_total{result=" + result + "}"; after[name] <= before[name] {
			t.Errorf("%s stays at %v", name, after[name])
		}
	}
}

func TestHostLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var l labels
	first := l.of("first.test")
	for i := range 2 * maxHostLabels {
		l.of(fmt.Sprintf("host%d.test", i))
	}
	if len(l.known) > maxHostLabels {
		t.Errorf("%d labels", len(l.known))
	}
	if got := l.of("first.test"); got != first || got != "first.test" {
		t.Errorf("a known host is labelled %q", got)
	}
	if got := l.of("latecomer.test"); got != otherHosts {
		t.Errorf("one too many is labelled %q", got)
	}
}

func TestHandlerServesWhatContainerdServes(t *testing.T) {
	t.Parallel()
	host := newHost()
	Hooks(log.L).Transport.OnHandshake(certsd.Handshake{Host: host})
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if want := `certsd_handshakes_total{host="` + host + `"} 1`; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("no line %s in\n%s", want, rec.Body)
	}
}

// TestConfiguredHostsKeepTheirLabels lets strangers name more hosts than there
// are labels, before and after one is configured.
func TestConfiguredHostsKeepTheirLabels(t *testing.T) {
	t.Parallel()
	var l labels
	fill := func(prefix string) {
		for i := range 2 * maxHostLabels {
			l.of(fmt.Sprintf("%s%d.test", prefix, i))
		}
	}
	fill("before")
	l.use(&certsd.Host{Name: "registry.test", Dir: "/etc/docker/certs.d/registry.test", Endpoints: []*certsd.Endpoint{{Host: "mirror.test"}}})
	l.use(&certsd.Host{Name: "any.test", Dir: "/etc/docker/certs.d/_default"})
	l.keep("upstream.test")
	fill("after")
	for host, want := range map[string]string{"registry.test": "registry.test", "mirror.test": "mirror.test", "upstream.test": "upstream.test", "any.test": otherHosts} {
		if got := l.of(host); got != want {
			t.Errorf("%s is labelled %q, want %q", host, got, want)
		}
	}
}

// TestStatusesOfServersAreBounded counts the labels of all statuses there are.
func TestStatusesOfServersAreBounded(t *testing.T) {
	t.Parallel()
	labels := map[string]bool{}
	for status := range 1000 {
		labels[statusLabel(status)] = true
	}
	if len(labels) > 100 {
		t.Errorf("%d labels", len(labels))
	}
	for _, status := range []int{200, 403, 404, 429, 495, 496, 500, 522} {
		if !labels[strconv.Itoa(status)] {
			t.Errorf("%d has no label", status)
		}
	}
}
