package status_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
)

// registry is a server that lets one client certificate in, and a directory for it.
type registry struct {
	t                *testing.T
	servers, clients *certtest.CA
	host, dir        string
	roots            certsd.Roots
	state            *status.State
	transport        *certsd.Transport
	// lets is the common name of who is let in.
	lets string
}

func newRegistry(t *testing.T, names ...string) *registry {
	t.Helper()
	root := t.TempDir()
	r := &registry{t: t, servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"), roots: certsd.Roots{root}, state: status.New(), lets: "bravo"}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if len(req.TLS.PeerCertificates) == 0 || req.TLS.PeerCertificates[0].Subject.CommonName != r.lets {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{r.servers.Server("127.0.0.1").TLS}, ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "https://")
	r.dir = filepath.Join(root, r.host)
	must(t, os.MkdirAll(r.dir, 0o700))
	must(t, r.servers.Write(r.dir, "ca"))
	for _, name := range names {
		must(t, r.clients.Issue(certtest.Request{CommonName: name, NotAfter: time.Now().AddDate(1, 0, 0)}).Write(r.dir, name))
	}
	hosts := &certsd.Hosts{Roots: r.roots, Hooks: hostdir.Hooks{OnLoad: r.state.Load}}
	r.transport = &certsd.Transport{Hosts: hosts, Registry: r.host, Hooks: certsd.Hooks{OnHandshake: r.state.Handshake}}
	r.transport.Hooks.OnRound = roundInto(r.state)
	t.Cleanup(r.transport.CloseIdleConnections)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get asks for a manifest of a repository.
func (r *registry) get(repository string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "https://"+r.host+"/v2/"+repository+"/manifests/1", nil)
	must(r.t, err)
	resp, err := r.transport.RoundTrip(req)
	must(r.t, err)
	must(r.t, resp.Body.Close())
}

func (r *registry) snapshot() *status.Status {
	return r.state.Snapshot(status.Daemon{Kind: status.Gateway, Version: "v1", Roots: r.roots})
}

// codes are the kinds of what needs a person.
func codes(st *status.Status) []string {
	codes := []string{}
	for _, n := range st.Needs {
		codes = append(codes, n.Code)
	}
	return codes
}

func TestWhatIsInUse(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "alpha", "bravo")
	must(t, os.Mkdir(filepath.Join(r.roots[0], "idle.test"), 0o700))
	if st := r.snapshot(); len(st.Registries) != 0 || !cmp.Equal(st.Idle, []string{r.host, "idle.test"}) {
		t.Fatalf("before anybody asks: %+v", st)
	}
	r.get("app")
	st := r.snapshot()
	if len(st.Registries) != 1 || len(st.Registries[0].Endpoints) != 1 || len(st.Registries[0].Repositories) != 1 {
		t.Fatalf("registries: %+v", st.Registries)
	}
	reg := st.Registries[0]
	e, repo := reg.Endpoints[0], reg.Repositories[0]
	if reg.Name != r.host || reg.Directory != r.dir || e.Directory != r.dir || e.CAs[0].File != filepath.Join(r.dir, "ca.crt") || !e.CAs[0].Used {
		t.Errorf("%+v", reg)
	}
	alpha, bravo := e.Identities[0], e.Identities[1]
	if alpha.Answer == nil || alpha.Answer.Result != "403" || alpha.Accepted != nil || !alpha.Presented {
		t.Errorf("alpha: %+v", alpha)
	}
	if bravo.Answer == nil || bravo.Answer.Result != "200" || bravo.Accepted == nil || bravo.Subject != "CN=bravo" || bravo.Issuer != "CN=clients" {
		t.Errorf("bravo: %+v", bravo)
	}
	if repo.Name != "app" || repo.Accepted == nil || repo.Accepted.Identity != "bravo.cert" || repo.Accepted.Serial != bravo.Serial || repo.Refused != nil {
		t.Errorf("repository: %+v", repo)
	}
	if v := st.Servers[0]; v.Host != r.host || v.Certificate.Subject != "CN=127.0.0.1" || v.CA.Subject != "CN=servers" || v.Refusals["403"] != 1 {
		t.Errorf("server: %+v", v)
	}
	// The server's own certificate is the one that ends within a fifth of its life.
	if got := codes(st); len(got) != 0 {
		t.Errorf("%v needs a person: %+v", got, st.Needs)
	}
	if _, err := json.Marshal(st); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "alpha", "bravo")
	r.lets = "nobody"
	r.get("app")
	st := r.snapshot()
	repo := st.Registries[0].Repositories[0]
	if repo.Refused == nil || !cmp.Equal(repo.Refused.Answers, []string{"alpha.cert: 403", "bravo.cert: 403"}) || repo.Accepted != nil {
		t.Fatalf("%+v", repo)
	}
	if !cmp.Equal(codes(st), []string{status.NeedRefused}) || !strings.Contains(st.Needs[0].What, "alpha.cert: 403, bravo.cert: 403") ||
		st.Needs[0].Next != "certsd check "+r.host+"/app" {
		t.Errorf("%+v", st.Needs)
	}
	r.lets = "bravo"
	r.get("app")
	if st := r.snapshot(); len(st.Needs) != 0 || st.Registries[0].Repositories[0].Refused != nil {
		t.Errorf("let in again: %+v", st.Registries[0].Repositories[0])
	}
}

func TestFromMemory(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "bravo")
	r.get("app")
	before := r.snapshot().Registries[0].Endpoints[0].Identities[0].Serial
	must(t, os.WriteFile(filepath.Join(r.dir, "bravo.cert"), []byte("-----BEGIN CERT"), 0o600))
	st := r.snapshot()
	reg := st.Registries[0]
	if reg.Memory == nil || !strings.Contains(reg.Memory.Cause, "bravo.cert") || reg.Endpoints[0].Identities[0].Serial != before {
		t.Fatalf("half written: %+v", reg)
	}
	if !cmp.Equal(codes(st), []string{status.NeedMemory}) {
		t.Errorf("needs %+v", st.Needs)
	}
	since := reg.Memory.Since
	must(t, os.WriteFile(filepath.Join(r.dir, "bravo.cert"), []byte("-----BEGIN CERTIF"), 0o600))
	if again := r.snapshot().Registries[0].Memory; again == nil || !again.Since.Equal(since) {
		t.Errorf("still broken: %+v, broken since %s", again, since)
	}
	must(t, os.WriteFile(filepath.Join(r.dir, "hosts.toml"), []byte("nonsense"), 0o600))
	if again := r.snapshot().Registries[0].Memory; again == nil || !strings.Contains(again.Cause, "hosts.toml") || !again.Since.Equal(since) {
		t.Errorf("hosts.toml is broken, too: %+v", again)
	}
	must(t, os.Remove(filepath.Join(r.dir, "hosts.toml")))
	must(t, r.clients.Issue(certtest.Request{CommonName: "bravo", NotAfter: time.Now().AddDate(1, 0, 0)}).Write(r.dir, "bravo"))
	st = r.snapshot()
	id := st.Registries[0].Endpoints[0].Identities[0]
	if st.Registries[0].Memory != nil || id.Serial == before || id.Answer != nil {
		t.Errorf("replaced: %+v %+v", st.Registries[0], id)
	}
}

// TestFromMemoryWhereFilesComeBack has the same bytes written again.
func TestFromMemoryWhereFilesComeBack(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "bravo")
	r.get("app")
	file := filepath.Join(r.dir, "bravo.key")
	key, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, key[:10], 0o600))
	if r.snapshot().Registries[0].Memory == nil {
		t.Fatal("not from memory")
	}
	must(t, os.WriteFile(file, key, 0o600))
	if m := r.snapshot().Registries[0].Memory; m != nil {
		t.Errorf("from memory although the files are as they were: %+v", m)
	}
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "alpha", "bravo")
	must(t, r.clients.Issue(certtest.Request{CommonName: "old", NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(-time.Hour)}).Write(r.dir, "old"))
	must(t, r.clients.Issue(certtest.Request{CommonName: "soon", NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(0, 0, 3)}).Write(r.dir, "soon"))
	must(t, os.Remove(filepath.Join(r.dir, "alpha.key")))
	r.get("app")
	st := r.snapshot()
	ids := map[string]status.Identity{}
	for _, id := range st.Registries[0].Endpoints[0].Identities {
		ids[id.Name] = id
	}
	if id := ids["alpha.cert"]; id.Presented || id.Certificate != nil || id.Why == "" {
		t.Errorf("alpha has no key: %+v", id)
	}
	if id := ids["old.cert"]; id.Presented || !strings.HasPrefix(id.Why, "expired on ") {
		t.Errorf("old: %+v", id)
	}
	if !cmp.Equal(codes(st), []string{status.NeedExpired, status.NeedPair, status.NeedExpires}) {
		t.Errorf("needs %+v", st.Needs)
	}
	// What cannot be used from the start on is told, too.
	broken := filepath.Join(r.roots[0], "broken.test")
	must(t, os.Mkdir(broken, 0o700))
	must(t, os.WriteFile(filepath.Join(broken, "hosts.toml"), []byte("nonsense"), 0o600))
	if _, err := r.transport.Hosts.Lookup("broken.test"); err == nil {
		t.Fatal("no error")
	}
	st = r.snapshot()
	if st.Needs[0].Code != status.NeedUnusable || st.Needs[0].Registry != "broken.test" || !strings.Contains(st.Needs[0].What, "hosts.toml:1") {
		t.Errorf("needs %+v", st.Needs[0])
	}
}

func TestEndsSoon(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, tt := range []struct {
		since, left time.Duration
		want        bool
	}{{351 * day, 14*day + 1, false}, {351 * day, 14*day - 1, true}, {19 * time.Hour, 5 * time.Hour, false}, {20 * time.Hour, 4 * time.Hour, true}, {day, -1, true}} {
		if got := status.EndsSoon(now.Add(-tt.since), now.Add(tt.left), now); got != tt.want {
			t.Errorf("%s after its begin and %s before its end: %v", tt.since, tt.left, got)
		}
	}
}

// TestProxiesAreNamedWithoutTheirPasswords: that of hosts.toml goes before that of
// the environment.
func TestProxiesAreNamedWithoutTheirPasswords(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "reg.test")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("proxy = \"http://jo:s3cr3t@proxy.test:3128\"\n"), 0o600))
	state := status.New()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: state.Load}}
	if _, err := hosts.Lookup("reg.test"); err != nil {
		t.Fatal(err)
	}
	st := state.Snapshot(status.Daemon{Roots: certsd.Roots{root}})
	if got := st.Registries[0].Endpoints[0].Proxy; got != "http://proxy.test:3128" {
		t.Errorf("the proxy is %q", got)
	}
	text, err := json.Marshal(st)
	must(t, err)
	if strings.Contains(string(text), "s3cr3t") || strings.Contains(string(text), "jo") {
		t.Errorf("a password is in %s", text)
	}
}
