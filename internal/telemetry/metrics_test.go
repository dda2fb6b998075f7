package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/v1compat"
)

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
	const host = "metrics.test:5000"
	h := Hooks(log.L)
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	attempt := certsd.Attempt{Registry: host, Host: host, Identity: "alpha.cert", NotAfter: expires}
	for _, a := range []func(*certsd.Attempt){
		func(a *certsd.Attempt) { a.Status = http.StatusForbidden },
		func(a *certsd.Attempt) { a.Status = http.StatusOK },
		func(a *certsd.Attempt) { a.Status = http.StatusOK },
		func(a *certsd.Attempt) { a.Err = &net.OpError{Op: "dial"} },
		func(a *certsd.Attempt) { a.Err = &net.DNSError{} },
		func(a *certsd.Attempt) { a.Err = &net.OpError{Op: "remote error"} },
		func(a *certsd.Attempt) { a.Err = errors.New("cut") },
		func(a *certsd.Attempt) { a.Skipped = "expired" },
	} {
		one := attempt
		a(&one)
		h.Transport.OnAttempt(one)
	}
	h.Transport.OnRotate(certsd.Rotation{Host: host, From: "alpha.cert", To: "bravo.cert", Reason: "403"})
	h.Transport.OnHandshake(certsd.Handshake{Host: host})
	h.OnReload(certsd.Reload{Host: host, Err: errors.New("half written")})
	want := map[string]float64{
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=200}":         2,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=403}":         1,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=dial}":        2,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=error}":       1,
		"certsd_requests_total{host=" + host + ",identity=alpha.cert,result=tls}":         1,
		"certsd_rotations_total{host=" + host + ",reason=403}":                            1,
		"certsd_handshakes_total{host=" + host + "}":                                      1,
		"certsd_reloads_total{host=" + host + ",result=failed}":                           1,
		"certsd_identity_expiry_timestamp_seconds{host=" + host + ",identity=alpha.cert}": float64(expires.Unix()),
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

// hostWith is a registry with certificates.
func hostWith(name string, expires time.Time, identities ...string) *certsd.Host {
	ep := &certsd.Endpoint{Host: name}
	for _, id := range identities {
		ep.Identities = append(ep.Identities, &certsd.Identity{
			Name: id, Certificate: &tls.Certificate{Leaf: &x509.Certificate{NotAfter: expires}},
		})
	}
	return &certsd.Host{Name: name, Endpoints: []*certsd.Endpoint{ep}}
}

func TestExpiryIsOfTheCertificatesThatAreThere(t *testing.T) {
	t.Parallel()
	const host, tokens = "expiry.test", "tokens.expiry.test"
	h := Hooks(log.L)
	series := func(host string) (names []string) {
		for name := range gather(t, host) {
			if name[:len("certsd_identity_expiry")] == "certsd_identity_expiry" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	gauge := func(host, identity string) string {
		return "certsd_identity_expiry_timestamp_seconds{host=" + host + ",identity=" + identity + "}"
	}
	now := time.Now()
	h.OnUse(hostWith(host, now, "alpha.cert", "bravo.cert"))
	if diff := cmp.Diff([]string{gauge(host, "alpha.cert"), gauge(host, "bravo.cert")}, series(host)); diff != "" {
		t.Errorf("before any was presented (-want +got):\n%s", diff)
	}
	h.OnUse(hostWith(host, now, "bravo.cert"))
	if diff := cmp.Diff([]string{gauge(host, "bravo.cert")}, series(host)); diff != "" {
		t.Errorf("one removed between two pulls (-want +got):\n%s", diff)
	}
	h.OnReload(certsd.Reload{Host: host, Changed: true})
	h.Transport.OnAttempt(certsd.Attempt{Registry: host, Host: host, Identity: "charlie.cert", NotAfter: now, Status: 200})
	if diff := cmp.Diff([]string{gauge(host, "charlie.cert")}, series(host)); diff != "" {
		t.Errorf("replaced in the middle of a pull (-want +got):\n%s", diff)
	}
	h.Transport.OnAttempt(certsd.Attempt{Registry: host, Host: tokens, Identity: "teller.cert", NotAfter: now, Status: 200})
	if diff := cmp.Diff([]string{gauge(tokens, "teller.cert")}, series(tokens)); diff != "" {
		t.Errorf("of a token server (-want +got):\n%s", diff)
	}
	h.OnReload(certsd.Reload{Host: tokens, Changed: true})
	if got := series(tokens); len(got) > 0 {
		t.Errorf("removed at a token server: %v", got)
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
	Hooks(log.L).Transport.OnHandshake(certsd.Handshake{Host: "handler.test"})
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if want := `certsd_handshakes_total{host="handler.test"} 1`; !strings.Contains(rec.Body.String(), want) {
		t.Errorf("no line %s in\n%s", want, rec.Body)
	}
}
