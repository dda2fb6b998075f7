package certsd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// heard collects what the hooks for rounds and lookups are told.
type heard struct {
	rounds []string
	loads  []string
}

func (h *heard) listen(tr *Transport) {
	tr.Hooks.OnRound = func(ctx context.Context, r Round) {
		var attempts []string
		for _, a := range r.Attempts {
			attempts = append(attempts, fmt.Sprintf("%s %d%s", a.Identity, a.Status, a.Skipped))
		}
		line := fmt.Sprintf("%s %s: %s", r.Host, r.Repository, strings.Join(attempts, ", "))
		if r.Learnt {
			line += " learnt"
		}
		if r.Downgrade != 0 {
			line += fmt.Sprintf(" downgrade %d", r.Downgrade)
		}
		if TrailOf(ctx) == nil || r.Start.IsZero() {
			line += " out of nowhere"
		}
		h.rounds = append(h.rounds, line)
	}
	tr.hosts().Hooks.OnLoad = func(_ context.Context, l hostdir.Loaded) {
		line := fmt.Sprintf("%s: %d files", l.Host, l.Files)
		if l.Err != nil {
			line += " error"
		}
		if l.Config == nil {
			line += " nothing"
		}
		h.loads = append(h.loads, line)
	}
}

func TestRoundsAreReported(t *testing.T) {
	t.Parallel()
	accepted := "bravo"
	srv := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, r *http.Request, client string) {
		if client != accepted {
			w.WriteHeader(http.StatusForbidden)
		}
	}})
	dir := newCertsDir(t)
	dir.add(t, srv.host, "alpha", "bravo")
	tr := dir.transport(t)
	var h heard
	h.listen(tr)
	url := srv.URL + "/v2/app/manifests/1"
	for _, tt := range []struct{ accepted, want string }{
		{"bravo", "alpha.cert 403, bravo.cert 200 learnt"},
		{"bravo", "bravo.cert 200"},
		{"nobody", "bravo.cert 403, alpha.cert 403"},
		{"alpha", "bravo.cert 403, alpha.cert 200 learnt"},
	} {
		h.rounds = nil
		accepted = tt.accepted
		ctx, _ := WithTrail(t.Context())
		if _, err := send(t, view(t, tr, srv.host, nil), newRequest(ctx, t, http.MethodGet, url, "")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{srv.host + " app: " + tt.want}, h.rounds); diff != "" {
			t.Errorf("%s is accepted (-want +got):\n%s", tt.accepted, diff)
		}
	}
}

func TestDowngradesAreReported(t *testing.T) {
	t.Parallel()
	secure := newTLSServer(t, serverOptions{})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	for _, tt := range []struct {
		name, config string
		systemRoots  SystemRoots
		url          string
		change       func(*Endpoint)
		want         Downgrade
	}{
		{name: "verified", url: secure.URL, config: "ca.crt"},
		{name: "skip_verify", url: secure.URL, config: "server = \"" + secure.URL + "\"\nskip_verify = true\n", want: SkippedVerify},
		{name: "system roots appended", url: secure.URL, config: "ca.crt", systemRoots: "append", want: AppendedSystemRoots},
		{name: "localhost", url: secure.URL, change: func(e *Endpoint) { e.SkipVerify = true }, want: UnverifiedLocalhost},
		{name: "plain HTTP as configured", url: plain.URL, config: "server = \"" + plain.URL + "\"\n"},
		{name: "plain HTTP as wished", url: plain.URL, change: func(e *Endpoint) { e.Scheme = "http" }, want: SpokePlainHTTP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := newCertsDir(t)
			host := strings.TrimPrefix(strings.TrimPrefix(tt.url, "https://"), "http://")
			switch {
			case tt.config == "ca.crt":
				dir.add(t, host)
			case tt.config != "":
				dir.write(t, host+"/hosts.toml", tt.config)
			}
			tr := dir.transport(t)
			tr.Hosts.SystemRoots = tt.systemRoots
			var got []Downgrade
			tr.Hooks.OnRound = func(_ context.Context, r Round) { got = append(got, r.Downgrade) }
			found, err := tr.hosts().Lookup(host)
			if err != nil {
				t.Fatal(err)
			}
			ep := *found.Endpoints[0]
			if tt.change != nil {
				tt.change(&ep)
			}
			get(t, tr.ForEndpoint(host, &ep, nil), tt.url+"/v2/")
			if diff := cmp.Diff([]Downgrade{tt.want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLookupsThatMeetSomethingNewAreReported(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	path := dir.add(t, "reg.test", "alpha")
	tr := dir.transport(t)
	var h heard
	h.listen(tr)
	look := func(when string, want ...string) {
		t.Helper()
		h.loads = nil
		_, _ = tr.hosts().Lookup("reg.test")
		if diff := cmp.Diff(want, h.loads); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	look("first", "reg.test: 4 files")
	look("unchanged")
	if err := os.Remove(filepath.Join(path, "alpha.key")); err != nil {
		t.Fatal(err)
	}
	look("without a key", "reg.test: 3 files")
	dir.write(t, "reg.test/ca.crt", "rubbish")
	look("with a CA that is none", "reg.test: 3 files error")
	if err := os.Remove(filepath.Join(path, "alpha.cert")); err != nil {
		t.Fatal(err)
	}
	h.loads = nil
	if _, err := tr.hosts().Lookup("other.test"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"other.test: 0 files"}, h.loads); diff != "" {
		t.Errorf("without a directory (-want +got):\n%s", diff)
	}
}

func TestCurrentFollowsTheDirectory(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	path := dir.add(t, "reg.test", "alpha")
	dir.write(t, "reg.test/hosts.toml", "[host.\"https://mirror.test\"]\n")
	hosts := dir.transport(t).Hosts
	host, err := hosts.Lookup("reg.test")
	if err != nil {
		t.Fatal(err)
	}
	own, err := hosts.Own("reg.test")
	if err != nil {
		t.Fatal(err)
	}
	names := func(h *Host, err error) string {
		if err != nil || h == nil {
			return fmt.Sprintf("%v %v", h == nil, err)
		}
		var all []string
		for _, ep := range h.Endpoints {
			for _, id := range ep.Identities {
				all = append(all, id.Name)
			}
		}
		return fmt.Sprint(len(h.Endpoints), all)
	}
	if same, err := host.Current(); same != host || err != nil {
		t.Errorf("unchanged: another value, %v", err)
	}
	if err := pairOf("bravo").Write(path, "bravo"); err != nil {
		t.Fatal(err)
	}
	if got := names(host.Current()); got != "2 [alpha.cert bravo.cert]" {
		t.Errorf("one more: %s", got)
	}
	if got := names(own.Current()); got != "2 [alpha.cert bravo.cert]" {
		t.Errorf("one more, by itself: %s", got)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if got := names(host.Current()); got != "1 []" {
		t.Errorf("removed: %s", got)
	}
	lone := &Host{Name: "made.test"}
	if same, err := lone.Current(); same != lone || err != nil {
		t.Errorf("one that was not looked up: %v %v", same, err)
	}
}
