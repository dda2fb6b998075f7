package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clog "github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// observed has what a gateway does noted, as one that runs has.
func observed(o *options) {
	o.Hosts = &resolver.Hosts{Roots: o.Hosts.Roots, Hooks: telemetry.Hooks(clog.L)}
}

// gatewayStatus reads the status of a gateway.
func gatewayStatus(t *testing.T, g *testGateway) *status.Status {
	t.Helper()
	a := g.do(t, http.MethodGet, "/status.json", tokenHeader, "")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	var st status.Status
	must(t, json.Unmarshal(a.body, &st))
	return &st
}

// find returns a registry of a status.
func find(t *testing.T, st *status.Status, name string) status.Registry {
	t.Helper()
	return theOne(t, st.Registries, func(r status.Registry) bool { return r.Name == name })
}

// theOne returns the first of a list that is meant.
func theOne[T any](t *testing.T, list []T, is func(T) bool) T {
	t.Helper()
	i := slices.IndexFunc(list, is)
	if i < 0 {
		t.Fatalf("not among %+v", list)
	}
	return list[i]
}

func TestStatusTellsWhatIsInUse(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "team/app:1", 1)
	g := newGateway(t, observed, u)
	st := gatewayStatus(t, g)
	if st.Daemon != status.Gateway || st.Schema != status.Schema || st.Secret == nil || st.Secret.Changed == nil || st.Secret.Open ||
		st.Store == nil || st.Spool == nil || st.Spool.Limit != 1<<30 || len(st.Idle) != 1 {
		t.Errorf("%+v", st)
	}
	if a := g.do(t, http.MethodGet, "/v2/"+u.host+"/team/app/manifests/1"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	st = gatewayStatus(t, g)
	repo := find(t, st, u.host).Repositories[0]
	if repo.Name != "team/app" || repo.Accepted == nil || repo.Accepted.Identity != "bravo.cert" {
		t.Errorf("%+v", repo)
	}
	text, err := json.Marshal(st)
	must(t, err)
	if strings.Contains(string(text), g.secret) || strings.Contains(string(text), "PRIVATE KEY") {
		t.Error("a secret is in the status")
	}
}

// TestAMirrorThatRestsIsTold in all that show the status.
func TestAMirrorThatRestsIsTold(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "team/app:1", 1)
	g := newGateway(t, observed, u)
	hosts := fmt.Sprintf("server = \"https://%s\"\n[host.\"https://127.0.0.1:1\"]\n", u.host)
	must(t, os.WriteFile(filepath.Join(gatewayStatus(t, g).Roots[0], u.host, "hosts.toml"), []byte(hosts), 0o600))
	if a := g.do(t, http.MethodGet, "/v2/"+u.host+"/team/app/manifests/1"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	st := gatewayStatus(t, g)
	if len(st.Resting) != 1 || st.Resting[0].Endpoint != "https://127.0.0.1:1" || !strings.Contains(st.Resting[0].Cause, "connection refused") || !st.Resting[0].Until.After(st.Now) {
		t.Errorf("%+v", st.Resting)
	}
	var table strings.Builder
	must(t, status.Tell(&table, []*status.Status{st}, 500))
	if want := "passed over for now: https://127.0.0.1:1, until "; !strings.Contains(table.String(), want) {
		t.Errorf("no %s in\n%s", want, &table)
	}
	if page, want := string(g.do(t, http.MethodGet, "/status").body), "https://127.0.0.1:1 is passed over until "; !strings.Contains(page, want) {
		t.Errorf("no %s in\n%s", want, page)
	}
}

// TestStatusIsForWhoMayReadMetrics: from elsewhere with the secret only, by a known
// name only, and not for another page of a browser.
func TestStatusIsForWhoMayReadMetrics(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	for name, tt := range map[string]struct {
		remote, host string
		header       map[string]string
		want         int
	}{
		"here":                     {remote: "127.0.0.1:1", host: "127.0.0.1", want: 200},
		"elsewhere":                {remote: "192.0.2.1:1", host: "127.0.0.1", want: 401},
		"elsewhere, with a secret": {remote: "192.0.2.1:1", host: "127.0.0.1", header: map[string]string{tokenHeader: g.secret}, want: 200},
		"another name":             {remote: "127.0.0.1:1", host: "evil.example", want: 421},
		"another page":             {remote: "127.0.0.1:1", host: "127.0.0.1", header: map[string]string{"Origin": "https://evil.example"}, want: 403},
		"another page, quietly": {
			remote: "127.0.0.1:1", host: "127.0.0.1",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, want: 403,
		},
		"a frame": {
			remote: "127.0.0.1:1", host: "127.0.0.1",
			header: map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, want: 403,
		},
		"what a link loads": {
			remote: "127.0.0.1:1", host: "127.0.0.1",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "document"}, want: 403,
		},
		"a link": {
			remote: "127.0.0.1:1", host: "127.0.0.1",
			header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, want: 200,
		},
		"the page itself": {remote: "127.0.0.1:1", host: "127.0.0.1:5999", header: map[string]string{"Origin": "http://127.0.0.1:5999", "Sec-Fetch-Site": "same-origin"}, want: 200},
	} {
		for _, path := range []string{"/status.json", "/status", "/status.js", "/status.css"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tt.host+path, nil)
			r.RemoteAddr = tt.remote
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			g.handler.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("%s: %s: %d, want %d", name, path, w.Code, tt.want)
			}
			if csp := w.Header().Get("Content-Security-Policy"); w.Code == http.StatusOK && (!strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'")) {
				t.Errorf("%s: %s: policy %q", name, path, csp)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: %s may be read by others", name, path)
			}
		}
	}
}

// TestARunningGatewayIsAsked in each of the ways that it may listen.
func TestARunningGatewayIsAsked(t *testing.T) {
	dir := t.TempDir()
	ca := certtest.NewCA("gateways")
	pair := ca.Server("gateway.test")
	must(t, pair.Write(dir, "gw"))
	bundle := filepath.Join(dir, "bundle.pem")
	must(t, os.WriteFile(bundle, append(bytes.Clone(pair.KeyPEM), pair.CertPEM...), 0o600))
	socket := filepath.Join(dir, "s")
	for name, change := range map[string]func(*Config){
		"loopback":    func(*Config) {},
		"all":         func(c *Config) { c.Listen, c.AllowRemote = []string{"0.0.0.0:0"}, true },
		"unix":        func(c *Config) { c.Listen = []string{"unix:" + socket} },
		"certificate": func(c *Config) { c.TLSCert, c.TLSKey = filepath.Join(dir, "gw.cert"), filepath.Join(dir, "gw.key") },
		"bundle":      func(c *Config) { c.TLSCert, c.TLSKey = bundle, bundle },
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			c.Root, c.State, c.Listen = t.TempDir(), t.TempDir(), []string{"127.0.0.1:0"}
			change(c)
			ctx, cancel := context.WithCancel(t.Context())
			ready, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- c.Run(ctx, nil, func([]net.Addr) { close(ready) }) }()
			select {
			case <-ready:
			case err := <-ended:
				t.Fatal(err)
			}
			st, address, err := c.Status(t.Context())
			if err != nil || st.Daemon != status.Gateway || address == "" {
				t.Errorf("%+v at %q: %v", st, address, err)
			}
			cancel()
			must(t, <-ended)
			c.Listen = []string{"127.0.0.1:1"}
			if _, _, err := c.Status(t.Context()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("none runs: %v", err)
			}
		})
	}
}

// TestNobodyElseIsTakenForTheGateway: another server with another certificate.
func TestNobodyElseIsTakenForTheGateway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := certtest.NewCA("gateways")
	must(t, ca.Server("gateway.test").Write(dir, "gw"))
	asked := false
	other := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	other.Config.ErrorLog = log.New(discardLog{}, "", 0)
	other.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{ca.Server("gateway.test").TLS}}
	other.StartTLS()
	defer other.Close()
	r := listening{TLS: true, Certificate: filepath.Join(dir, "gw.cert")}
	_, err := r.ask(t.Context(), strings.TrimPrefix(other.URL, "https://"), "the-secret-of-this-gateway")
	if err == nil || asked || !strings.Contains(err.Error(), "another certificate") {
		t.Errorf("asked %v: %v", asked, err)
	}
}

type discardLog struct{}

func (discardLog) Write(p []byte) (int, error) { return len(p), nil }

func TestStatusOfStateOfOthers(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.State, c.Listen = filepath.Join(t.TempDir(), "none"), []string{"127.0.0.1:1"}
	if _, _, err := c.Status(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
