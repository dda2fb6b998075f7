package certsd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

func TestExpiredIdentitiesArePassedOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	expired := clientCA.Issue(certtest.Request{CommonName: "expired", NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	future := clientCA.Issue(certtest.Request{CommonName: "future", NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})
	for name, row := range map[string]struct{ others, want []string }{
		"while another is left": {[]string{"m", "n"}, []string{"m", "n"}},
		"but not if all are":    {nil, []string{"expired", "future"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
			dir := newCertsDir(t)
			path := dir.add(t, s.host, row.others...)
			for name, pair := range map[string]*certtest.Pair{"0": expired, "1": future} {
				if err := pair.Write(path, name); err != nil {
					t.Fatal(err)
				}
			}
			var warnings []string
			tr := dir.transport(t)
			tr.Hooks.OnWarning = func(err error) { warnings = append(warnings, strings.ReplaceAll(err.Error(), path+"/", "")) }
			ctx, trail := WithTrail(t.Context())
			for range 2 {
				if _, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, "GET", s.URL+"/v2/", "")); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(append(row.want, row.want...), s.clients()); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if row.others == nil {
				return
			}
			skipped := 0
			for _, a := range trail.Attempts() {
				if a.Skipped != "" {
					skipped++
				}
			}
			if skipped != 2 {
				t.Errorf("%d skipped identities in the trail, want each once:\n%s", skipped, trail)
			}
			want := []string{
				"0.cert: passed over, because it expired on " + hostdir.Day(expired.Cert.NotAfter),
				"1.cert: passed over, because it is not valid before " + future.Cert.NotBefore.UTC().Format(time.RFC3339),
			}
			if diff := cmp.Diff(want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// closing counts how often a body is closed.
type closing struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (c *closing) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed++
	return nil
}

func TestBodies(t *testing.T) {
	t.Parallel()
	rewind := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
	for name, row := range map[string]struct {
		getBody func() (io.ReadCloser, error)
		want    []string
		status  int
	}{
		"with GetBody it is sent again":           {rewind, []string{"a", "b"}, 200},
		"without GetBody it stays at the first":   {nil, []string{"a"}, 403},
		"with GetBody failing the answer returns": {func() (io.ReadCloser, error) { return nil, io.EOF }, []string{"a"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "b")})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			ctx, trail := WithTrail(t.Context())
			body := &closing{Reader: strings.NewReader("hello")}
			req := newRequest(ctx, t, "PUT", s.URL+"/v2/app/manifests/x", "")
			req.Body, req.GetBody, req.ContentLength = body, row.getBody, 5
			resp, err := view(t, dir.transport(t), s.host, nil).RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			resp.Body.Close()
			if resp.StatusCode != row.status || row.status == 403 && !strings.Contains(string(text), "not for a") {
				t.Errorf("status %d, body %q", resp.StatusCode, text)
			}
			if resp.Request != req {
				t.Error("the response's request is not the one that was made")
			}
			requests := s.takeAll()
			var got []string
			for _, r := range requests {
				got = append(got, r.Client)
				if r.Body != "hello" {
					t.Errorf("body %q", r.Body)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if body.closed == 0 {
				t.Error("the body was not closed")
			}
			if hinted := strings.Contains(trail.String(), "cannot be sent a second time"); hinted != (row.status == 403) {
				t.Errorf("trail:\n%s", trail)
			}
		})
	}
}

func TestBodyIsClosedOnErrors(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	dir.add(t, "broken.example")
	dir.write(t, "broken.example/hosts.toml", "rubbish")
	dir.add(t, "tls.example")
	for name, url := range map[string]string{
		"unusable configuration": "https://broken.example/v2/",
		"plain HTTP refused":     "http://tls.example/v2/",
		"nobody there":           "https://127.0.0.1:1/v2/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &closing{Reader: strings.NewReader("hello")}
			req := newRequest(t.Context(), t, "POST", url, "")
			req.Body = body
			if resp, err := dir.transport(t).RoundTrip(req); err == nil {
				resp.Body.Close()
				t.Fatal("no error")
			}
			if body.closed == 0 {
				t.Error("the body was not closed")
			}
		})
	}
}

// What is wrong with the network or the server is not the certificate's fault.
func TestNoRotationForOtherErrors(t *testing.T) {
	t.Parallel()
	unverified := newTLSServer(t, serverOptions{tls: func(c *tls.Config) {
		c.Certificates = []tls.Certificate{certtest.NewCA("nobody").Server("127.0.0.1").TLS}
	}})
	elsewhere := newTLSServer(t, serverOptions{tls: func(c *tls.Config) {
		c.Certificates = []tls.Certificate{serverCA.Server("other.example").TLS}
	}})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for name, row := range map[string]struct {
		host, want string
	}{
		"nobody listens":              {closed, "connection refused"},
		"no such name":                {"no-such-name.invalid", "no such host"},
		"server of another authority": {unverified.host, "put that CA's certificate into DIR as NAME.crt"},
		"server of another name":      {elsewhere.host, "its certificate is for other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCertsDir(t)
			path := dir.add(t, row.host, "a", "b")
			tr := dir.transport(t)
			attempts := 0
			tr.Hooks.OnAttempt = func(Attempt) { attempts++ }
			_, err := send(t, view(t, tr, row.host, nil), newRequest(t.Context(), t, "GET", "https://"+row.host+"/v2/", ""))
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(row.want, "DIR", path)) {
				t.Errorf("error %v, want %q", err, row.want)
			}
			if attempts != 1 {
				t.Errorf("%d attempts, want 1", attempts)
			}
		})
	}
}

func TestCancelledRequestDoesNotRotate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c")
	tr := dir.transport(t)
	tr.Hooks.OnRotate = func(Rotation) { cancel() }
	_, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, "GET", s.URL+"/v2/", ""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := s.clients(); count(got, "c") > 0 {
		t.Errorf("clients %v", got)
	}
}

// The server may accept no signature a key can make.
func TestKeyOfAnUnsupportedType(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	// An ECDSA key cannot make the only signatures it may be used for.
	odd := pairOf("a").TLS
	odd.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA256}
	tr := newCertsDir(t).transport(t)
	rt := tr.ForEndpoint(s.host, &Endpoint{
		Scheme: "https", Host: s.host, Path: "/v2", CAs: []CA{{Certificates: []*x509.Certificate{serverCA.Cert}}},
		Identities: []*Identity{{Name: "a.cert", Certificate: &odd}, {Name: "b.cert", Certificate: &pairOf("b").TLS}},
	}, nil)
	var reasons []string
	tr.Hooks.OnRotate = func(r Rotation) { reasons = append(reasons, r.Reason) }
	get(t, rt, s.URL+"/v2/")
	if diff := cmp.Diff([]string{"b"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"key type not accepted"}, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// The server's list of authorities is a hint that need not be true: each
// certificate is presented nevertheless.
func TestAuthoritiesTheServerNamesAreNoFilter(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, tls: func(c *tls.Config) {
		c.ClientCAs = certtest.NewCA("somebody else").Pool()
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a")
	get(t, view(t, dir.transport(t), s.host, nil), s.URL+"/v2/")
	if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
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

// Without a pair, and over plain HTTP, there is nothing to rotate.
func TestNothingToRotate(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	if status := get(t, view(t, dir.transport(t), s.host, nil), s.URL+"/v2/"); status != 403 {
		t.Errorf("status %d", status)
	}
	if diff := cmp.Diff([]string{""}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
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

// A 401 after a refusal decides: the token it asks for belongs to that
// certificate.
func TestAnswerAfterARefusalDecides(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
		status := map[string]int{"a": 403, "b": 401, "c": 200}[client]
		if asked.Add(1) == 1 {
			// At first a is not refused either.
			status = 401
		}
		w.WriteHeader(status)
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c")
	rt := view(t, dir.transport(t), s.host, nil)
	for range 3 {
		get(t, rt, s.URL+"/v2/app/manifests/1")
	}
	if diff := cmp.Diff([]string{"a", "a", "b", "b"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// Nobody waits for an upload that may take hours.
func TestUploadIsNoDiscovery(t *testing.T) {
	t.Parallel()
	pulled := make(chan struct{})
	uploading := make(chan struct{})
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(_ http.ResponseWriter, r *http.Request, _ string) {
		if r.Method == http.MethodPut {
			close(uploading)
			<-pulled
		}
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	rt := view(t, dir.transport(t), s.host, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := send(t, rt, newRequest(t.Context(), t, "PUT", s.URL+"/v2/app/blobs/uploads/1", "layer")); err != nil {
			t.Error(err)
		}
	})
	<-uploading
	get(t, rt, s.URL+"/v2/app/manifests/1")
	close(pulled)
	wg.Wait()
}

// A discarded answer gives its connection back unless it is too long for that.
func TestDiscardedAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		size  int
		conns int
	}{
		"of 20 KiB keep the connection": {20 << 10, 2},
		"of 8 MiB close it":             {8 << 20, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
				if client == "a" {
					w.WriteHeader(403)
					_, _ = w.Write(make([]byte, row.size))
				}
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			rt := view(t, dir.transport(t), s.host, nil)
			get(t, rt, s.URL+"/v2/app/manifests/1")
			get(t, rt, s.URL+"/v2/other/manifests/1")
			if s.conns != row.conns {
				t.Errorf("%d connections, want %d", s.conns, row.conns)
			}
			s.waitClosed(t, row.conns-2)
		})
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

func TestPlainHTTPHasNoIdentities(t *testing.T) {
	t.Parallel()
	asked := 0
	host := plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(403)
	})
	rt := newCertsDir(t).transport(t).ForEndpoint(host, &Endpoint{
		Scheme: "http", Host: host,
		Identities: []*Identity{{Name: "a", Certificate: &pairOf("a").TLS}, {Name: "b", Certificate: &pairOf("b").TLS}},
	}, nil)
	get(t, rt, "http://"+host+"/v2/")
	if asked != 1 {
		t.Errorf("%d requests", asked)
	}
}

// TestAnswerOfARefusedRound: the last one counts, but for a 404 of Registry v1
// beside a 403. What the entitled identity was told is the truth.
func TestAnswerOfARefusedRound(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path    string
		answers map[string]int
		want    int
	}{
		"the entitled one comes first":     {"/v1/repositories/app/tags/1", map[string]int{"a": 404, "b": 403, "c": 403}, 404},
		"the entitled one is in between":   {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 404, "c": 403}, 404},
		"the entitled one is the last":     {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 403, "c": 404}, 404},
		"nobody is entitled":               {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 403, "c": 403}, 403},
		"the last one meets a sick server": {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 404, "c": 502}, 502},
		"v2, where 404 does not move on":   {"/v2/app/manifests/1", map[string]int{"a": 403, "b": 404, "c": 403}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
				w.WriteHeader(row.answers[client])
				_, _ = w.Write([]byte("for " + client))
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b", "c")
			if status := get(t, view(t, dir.transport(t), s.host, nil), s.URL+row.path); status != row.want {
				t.Errorf("status %d, want %d", status, row.want)
			}
		})
	}
}
