package telemetry

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// hostile are names as somebody who means harm would choose them.
var hostile = []string{
	"\xff\xfe", "a\xc3", `"} 1`, "a\ncertsd_handshakes_total{host=\"forged.test\"} 99", `\`, "\x1b[2J\x1b]0;owned\a", "a\u202egnp", "\u009b2J", "\x7f",
	"<script>alert(1)</script>", "{{.Secret}}", " ", "", strings.Repeat("x", 200),
}

// sample is a line of the text format, with labels whose values print.
var sample = regexp.MustCompile(`^\w+(?:\{((?:\w+="(?:[^"\\]|\\[\\"n])*",?)*)\})? \S+$`)

// shown are the values of labels in the text format, which has no line and no character
// that is not part of it.
func shown(tb testing.TB, text string) (values []string) {
	tb.Helper()
	for _, r := range text {
		if r != '\n' && (!unicode.IsPrint(r) || r == utf8.RuneError) {
			tb.Errorf("%U is in the metrics", r)
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			tb.Errorf("no sample: %q", line)
			continue
		}
		for _, quoted := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).FindAllString(m[1], -1) {
			value, err := strconv.Unquote(quoted)
			if err != nil {
				tb.Errorf("%s: %v", quoted, err)
			}
			values = append(values, value)
		}
	}
	return values
}

// scrape reads the metrics as Prometheus does.
func scrape(tb testing.TB, h http.Handler) string {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		tb.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	return w.Body.String()
}

// TestHostileNamesAreInertInMetrics: names of files have any bytes, those of servers
// may be anything that a server makes up.
func TestHostileNamesAreInertInMetrics(t *testing.T) {
	t.Parallel()
	_, logger := newJournal()
	h := Hooks(logger)
	ca := certtest.NewCA("hostile servers")
	server := ca.Server("hostile.test").Cert
	root := t.TempDir()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnReload: h.OnReload, OnLoad: h.OnLoad}}
	dir := mkdirs(t, root, "hostile.test")
	for _, name := range hostile {
		attempt := certsd.Attempt{Registry: name, Host: name, Dir: name, Identity: name, Status: 200, Leaf: server}
		h.Transport.OnAttempt(attempt)
		h.Transport.OnRotate(certsd.Rotation{Host: name, From: name, To: name, Reason: name})
		h.Transport.OnHandshake(certsd.Handshake{Host: name, Identity: name, Server: server, CA: server, CAFile: "/certs.d/" + name})
		h.Transport.OnRound(t.Context(), certsd.Round{Registry: name, Host: name, Repository: name, Attempts: []certsd.Attempt{attempt}, From: hosts})
		h.OnReload(hostdir.Reload{Host: name, Dir: name, Changed: true})
		if strings.ContainsAny(name, "/") || name == "" {
			continue // no file can have it
		}
		if err := clients.Issue(certtest.Request{CommonName: "x", NotAfter: time.Now().AddDate(1, 0, 0)}).Write(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	host, err := hosts.Lookup("hostile.test")
	if err != nil {
		t.Fatal(err)
	}
	h.OnUse(host)
	if err := os.WriteFile(filepath.Join(dir, "\xff\xfe.cert"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := scrape(t, Handler())
	values := strings.Join(shown(t, text), "\n")
	for _, want := range []string{"[2J ]0;owned", "<script>alert(1)</script>", "[2J ]0;owned .cert", `"} 1.cert`, strings.Repeat("x", 200) + ".cert"} {
		if !strings.Contains(values, want) {
			t.Errorf("no label has %q: the test tests nothing", want)
		}
	}
	if strings.Contains(text, "\ncertsd_handshakes_total{host=\"forged.test\"}") {
		t.Error("a name has made a line of its own")
	}
}

// FuzzLabels: whatever the name, the text format holds it as one label of one line.
func FuzzLabels(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, host, identity string) {
		registry := prometheus.NewPedanticRegistry()
		counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "requests_total", Help: "x"}, []string{"host", "identity"})
		registry.MustRegister(counter, collected{
			newGauges(prometheus.NewDesc("expiry", "x", []string{"host", "identity"}, nil)),
			map[labelled]time.Time{{label(host), label(identity)}: time.Unix(7, 0), {label(identity), label(host)}: time.Unix(8, 0)},
		})
		counter.WithLabelValues(label(host), label(identity)).Inc()
		values := shown(t, scrape(t, promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})))
		if n := len(values); n != 6 && n != 4 {
			t.Fatalf("%q", values)
		}
		for _, value := range values {
			if value != label(host) && value != label(identity) || utf8.RuneCountInString(value) > maxLabel+1 {
				t.Errorf("%q is shown for %q and %q", value, host, identity)
			}
		}
	})
}

// collected are gauges as a collector.
type collected struct {
	gauges *gauges
	at     map[labelled]time.Time
}

func (c collected) Describe(ch chan<- *prometheus.Desc) { ch <- c.gauges.desc }

func (c collected) Collect(ch chan<- prometheus.Metric) { c.gauges.collect(ch, c.at) }
