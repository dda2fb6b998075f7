package certsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"
)

// TestDirectoriesDoNotKeepTransports: a Hosts outlives the Transports that use it.
func TestDirectoriesDoNotKeepTransports(t *testing.T) {
	t.Parallel()
	hosts := &Hosts{Roots: Roots{t.TempDir()}}
	host, err := hosts.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	use := func() weak.Pointer[Transport] {
		tr := &Transport{Hosts: hosts}
		tr.target(host.Endpoints[0])
		return weak.Make(tr)
	}
	tr := use()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for tr.Value() != nil {
			runtime.GC()
		}
	}()
	select {
	case <-collected:
	case <-time.After(time.Minute):
		t.Error("the transport is still there")
	}
	runtime.KeepAlive(hosts)
}

// TestTransportsRememberForThemselves: two of them over the same directories share
// no connection and no memory.
func TestTransportsRememberForThemselves(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	a := dir.transport(t)
	host, err := a.Hosts.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	b := &Transport{Hosts: a.Hosts}
	ep := host.Endpoints[0]
	first, again, other := a.target(ep).state, a.target(ep).state, b.target(ep).state
	if first != again || first == other {
		t.Error("states are not those of a transport and an endpoint")
	}
}

// A pair that is replaced in the middle of a pull is used by the next request.
func TestReloadMidway(t *testing.T) {
	t.Parallel()
	right := "old"
	var mu sync.Mutex
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
		mu.Lock()
		defer mu.Unlock()
		if client != right {
			w.WriteHeader(403)
		}
	}})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "a")
	if err := pairOf("old").Write(path, "b"); err != nil {
		t.Fatal(err)
	}
	tr := dir.transport(t)
	rt := view(t, tr, s.host, nil)
	get(t, rt, s.URL+"/v2/app/blobs/1")
	s.take()

	// Half written it is not used.
	if err := os.WriteFile(filepath.Join(path, "b.cert"), pairOf("new").CertPEM[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if status := get(t, rt, s.URL+"/v2/app/blobs/2"); status != 200 {
		t.Errorf("status %d while the pair is half written", status)
	}
	s.take()
	mu.Lock()
	right = "new"
	mu.Unlock()
	if err := pairOf("new").Write(path, "b"); err != nil {
		t.Fatal(err)
	}
	if status := get(t, rt, s.URL+"/v2/app/blobs/3"); status != 200 {
		t.Errorf("status %d with the new pair", status)
	}
	if diff := cmp.Diff([]string{"a", "new"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	// Removed it is not used any more.
	for _, name := range []string{"b.cert", "b.key"} {
		if err := os.Remove(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if status := get(t, rt, s.URL+"/v2/app/blobs/4"); status != 403 {
		t.Errorf("status %d without the pair", status)
	}
	if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// What was removed is not used, also where a file that cannot be used keeps
// what was read before.
func TestRemovedPairBesideABrokenFile(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "a")
	rt := view(t, dir.transport(t), s.host, nil)
	get(t, rt, s.URL+"/v2/")
	dir.write(t, s.host+"/hosts.toml", "rubbish")
	get(t, rt, s.URL+"/v2/")
	for _, name := range []string{"a.cert", "a.key"} {
		if err := os.Remove(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	get(t, rt, s.URL+"/v2/")
	want := []string{"GET /v2/ a", "GET /v2/ a", "GET /v2/"}
	if diff := cmp.Diff(want, s.take()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// An endpoint that a hosts.toml no longer names is a stranger.
func TestRemovedEndpoint(t *testing.T) {
	t.Parallel()
	mirror := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	path := dir.add(t, "registry.example", "a")
	toml := "[host.\"" + mirror.URL + "\"]\n  ca = \"ca.crt\"\n  client = [[\"a.cert\", \"a.key\"]]\n"
	dir.write(t, "registry.example/hosts.toml", toml)
	tr := dir.transport(t)
	host, err := tr.hosts().Lookup("registry.example")
	if err != nil {
		t.Fatal(err)
	}
	rt := tr.ForEndpoint("registry.example", host.Endpoints[0], nil)
	get(t, rt, mirror.URL+"/v2/")
	if diff := cmp.Diff([]string{"a"}, mirror.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if err := os.Remove(filepath.Join(path, "hosts.toml")); err != nil {
		t.Fatal(err)
	}
	_, err = send(t, rt, newRequest(t.Context(), t, "GET", mirror.URL+"/v2/", ""))
	if !errors.As(err, new(*VerificationError)) {
		t.Errorf("error %v", err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "b")})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	tr := dir.transport(t)
	var handshakes []Handshake
	var mu sync.Mutex
	tr.Hooks.OnHandshake = func(h Handshake) {
		mu.Lock()
		defer mu.Unlock()
		handshakes = append(handshakes, h)
	}
	var rotations []Rotation
	tr.Hooks.OnRotate = func(r Rotation) { rotations = append(rotations, r) }
	// Each pull has a view of its own.
	for range 5 {
		get(t, view(t, tr, s.host, nil), s.URL+"/v2/app/manifests/latest")
	}
	for i, h := range handshakes {
		if h.Server == nil || !h.Server.Equal(s.TLS.Certificates[0].Leaf) || h.CA == nil || !h.CA.Equal(serverCA.Cert) || filepath.Base(h.CAFile) != "ca.crt" {
			t.Errorf("handshake %d is with %v, by %v", i, h.Server, h.CA)
		}
		handshakes[i].Server, handshakes[i].CA = nil, nil
		handshakes[i].CAFile = ""
	}
	if diff := cmp.Diff([]Handshake{{Host: s.host, Identity: "a.cert"}, {Host: s.host, Identity: "b.cert"}}, handshakes); diff != "" {
		t.Errorf("handshakes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Rotation{{Host: s.host, From: "a.cert", To: "b.cert", Reason: "403"}}, rotations); diff != "" {
		t.Errorf("rotations (-want +got):\n%s", diff)
	}
	tr.CloseIdleConnections()
	get(t, view(t, tr, s.host, nil), s.URL+"/v2/app/manifests/latest")
	if len(handshakes) != 3 || !handshakes[2].Resumed {
		t.Errorf("after the connections were closed: %+v", handshakes)
	}
}

// What was read before must not stand in for a directory that has become
// unusable by removing files: the removed pair would be presented for ever.
func TestRemovedPairIsNotKeptByABrokenDirectory(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "a")
	toml := fmt.Sprintf("server = %q\nclient = [[\"a.cert\", \"a.key\"]]\n", s.URL)
	if err := os.WriteFile(filepath.Join(path, "hosts.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	rt := view(t, dir.transport(t), s.host, nil)
	get(t, rt, s.URL+"/v2/app/blobs/1")
	if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	for _, name := range []string{"a.cert", "a.key"} {
		if err := os.Remove(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := send(t, rt, newRequest(t.Context(), t, http.MethodGet, s.URL+"/v2/app/blobs/2", ""))
	for _, r := range s.takeAll() {
		if r.Client != "" {
			t.Errorf("the removed pair was presented as %s (error: %v)", r.Client, err)
		}
	}
}

// What is replaced in the middle of a request leaves no connection behind.
func TestRetiredMidway(t *testing.T) {
	t.Parallel()
	var replace func()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
		if client == "a" {
			replace()
			w.WriteHeader(403)
		}
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	tr := dir.transport(t)
	replace = func() {
		dir.write(t, s.host+"/more.crt", string(clientCA.PEM))
		if _, err := tr.hosts().Lookup(s.host); err != nil {
			t.Error(err)
		}
	}
	get(t, view(t, tr, s.host, nil), s.URL+"/v2/")
	s.waitClosed(t, 2)
}
