package resolver_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clients lists the certificates of calls, in order, repetitions left out.
func clients(calls []call) []string {
	var names []string
	for _, c := range calls {
		names = append(names, c.Client)
	}
	return slices.Compact(names)
}

func TestPullPresentsCertificatesInOrderAndStaysWithTheRightOne(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway} {
		r := newRegistry(t, nil)
		r.Push(t, "app:1", 5)
		r.Only("bravo", status)
		root := t.TempDir()
		r.Dir(t, root, "charlie", "alpha", "bravo")
		hosts := newHosts(t, root)

		pull(t, resolver.New(resolver.Options{Hosts: hosts}), r.Host+"/app:1")
		if diff := cmp.Diff([]string{"alpha", "bravo"}, clients(r.Calls())); diff != "" {
			t.Errorf("first pull after %d (-want +got):\n%s", status, diff)
		}
		pull(t, resolver.New(resolver.Options{Hosts: hosts}), r.Host+"/app:1")
		if diff := cmp.Diff([]string{"bravo"}, clients(r.Calls())); diff != "" {
			t.Errorf("second pull after %d (-want +got):\n%s", status, diff)
		}
	}
}

func TestPushPresentsCertificatesInOrder(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Only("bravo", http.StatusForbidden)
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo")
	data := bytes.Repeat([]byte("layer "), 1<<16)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}

	p, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Pusher(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.Push(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	if err := content.Copy(t.Context(), w, bytes.NewReader(data), desc.Size, desc.Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Push(t.Context(), desc); !errdefs.IsAlreadyExists(err) {
		t.Errorf("pushing it again: %v", err)
	}
	if diff := cmp.Diff([]string{"alpha", "bravo"}, clients(r.Calls())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestErrorNamesEverythingThatWasTried(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Only("nobody", http.StatusForbidden)
	root := t.TempDir()
	dir := r.Dir(t, root, "alpha", "bravo")
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{r.Host, dir, "alpha.cert", "bravo.cert", "CN=alpha", "CN=bravo", "403"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestErrorsOfAllEndpointsAreJoinedInOrder(t *testing.T) {
	t.Parallel()
	r, mirror := newRegistry(t, nil), newRegistry(t, nil)
	r.Only("nobody", http.StatusForbidden)
	mirror.Only("nobody", http.StatusBadGateway)
	root := t.TempDir()
	mirror.Dir(t, root, "mirrorpair")
	write(t, filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml"),
		fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+r.Host, "https://"+mirror.Host))

	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil {
		t.Fatal("no error")
	}
	rest := err.Error()
	for _, want := range []string{mirror.Host, "mirrorpair.cert", "502", r.Host, "alpha.cert", "403"} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("%q is missing, or out of order, in:\n%v", want, err)
		}
		rest = after
	}
}

func TestBrokenHostDirectoryFailsTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	root := t.TempDir()
	write(t, filepath.Join(r.Dir(t, root), "hosts.toml"), "servr = \"https://example.test\"\n")
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil || !strings.Contains(err.Error(), "hosts.toml") || !strings.Contains(err.Error(), "servr") {
		t.Errorf("got %v", err)
	}
	if calls := r.Calls(); len(calls) > 0 {
		t.Errorf("the registry was asked: %v", calls)
	}
}

func TestDeadMirrorIsDialledOnceForAllBlobs(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 5)
	address := deadAddress(t)
	root := t.TempDir()
	write(t, filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml"),
		fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+r.Host, "https://"+address))
	hosts := newHosts(t, root)
	var asked atomic.Int32
	hosts.Hooks.Transport.OnAttempt = func(a certsd.Attempt) {
		if a.Host == address {
			asked.Add(1)
		}
	}
	for range 2 {
		pull(t, resolver.New(resolver.Options{Hosts: hosts}), r.Host+"/app:1")
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the dead mirror was asked %d times in two pulls, want once", n)
	}
}

func TestOnlyEndpointIsAskedEvenIfItWasDead(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	root := t.TempDir()
	r.Dir(t, root)
	hosts := newHosts(t, root)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(canceled, r.Host+"/app:1"); err == nil {
		t.Fatal("resolved with a canceled context")
	}
	if _, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(t.Context(), r.Host+"/app:1"); err != nil {
		t.Errorf("after a canceled request: %v", err)
	}
}

func TestPlainHTTPWishCountsOnlyWithoutDirectory(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	host := strings.TrimPrefix(plain.URL, "http://")
	with, without := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(with, host), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(with, host, "hosts.toml"), fmt.Sprintf("server = %q\n", "https://"+host))
	for _, row := range []struct{ root, scheme string }{{with, "https"}, {without, "http"}} {
		r := resolver.New(resolver.Options{Hosts: newHosts(t, row.root), PlainHTTP: true})
		_, _, err := r.Resolve(t.Context(), host+"/app:1")
		if notFound := errdefs.IsNotFound(err); notFound != (row.scheme == "http") {
			t.Errorf("want %s, got %v", row.scheme, err)
		}
	}
}

func TestLoopbackRegistryWithoutDirectoryFallsBackToHTTP(t *testing.T) {
	t.Parallel()
	var schemes []string
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		schemes = append(schemes, r.Method)
		http.NotFound(w, r)
	}))
	defer plain.Close()
	hosts := newHosts(t, t.TempDir())
	_, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(t.Context(), strings.TrimPrefix(plain.URL, "http://")+"/app:1")
	if !errdefs.IsNotFound(err) || len(schemes) == 0 {
		t.Errorf("got %v after %v", err, schemes)
	}
}

// TestNothingOfTheRegistryReachesARedirectTarget looks at what the other
// server received: no certificate, no configured header, no credentials, not
// even when it asks for them.
func TestNothingOfTheRegistryReachesARedirectTarget(t *testing.T) {
	t.Parallel()
	images := newRegistry(t, nil)
	images.Push(t, "app:1", 2)
	other := newRegistry(t, images.Images)
	r := newRegistry(t, images.Images)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		user, _, ok := req.BasicAuth()
		switch {
		case !ok || user != "jo":
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(req.URL.Path, "/blobs/"):
			http.Redirect(w, req, "https://"+other.Host+req.URL.Path, http.StatusTemporaryRedirect)
		default:
			return false
		}
		return true
	})
	root := t.TempDir()
	dir := r.Dir(t, root, "alpha")
	write(t, filepath.Join(dir, "hosts.toml"), fmt.Sprintf("server = %q\n[header]\nX-Secret = \"s\"\n", "https://"+r.Host))
	if err := other.Servers.Write(dir, "other"); err != nil {
		t.Fatal(err)
	}
	var asked []string
	pull(t, resolver.New(resolver.Options{
		Hosts:  newHosts(t, root),
		Header: http.Header{"X-Pull": {"p"}},
		Credentials: func(host string) (string, string, error) {
			asked = append(asked, host)
			return "jo", "pw", nil
		},
	}), r.Host+"/app:1")

	calls := other.Calls()
	if len(calls) == 0 {
		t.Fatal("the other server was not asked: nothing was tested")
	}
	for _, c := range calls {
		for _, h := range []string{"Authorization", "X-Secret", "X-Pull", "Cookie"} {
			if v := c.Header.Get(h); v != "" {
				t.Errorf("%s %s carried %s: %s", c.Method, c.Path, h, v)
			}
		}
		if c.Client != "" {
			t.Errorf("%s %s presented %s", c.Method, c.Path, c.Client)
		}
	}
	if i := slices.IndexFunc(asked, func(h string) bool { return h != r.Host }); i >= 0 {
		t.Errorf("credentials of %s were asked for", asked[i])
	}
}

// TestRedirectTargetGetsNoCredentialsForItsChallenge is about docker's
// authorizer, which asks for the credentials of whoever sent the challenge.
func TestRedirectTargetGetsNoCredentialsForItsChallenge(t *testing.T) {
	t.Parallel()
	other := newRegistry(t, nil)
	other.Guard(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	r := newRegistry(t, nil)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		http.Redirect(w, req, "https://"+other.Host+req.URL.Path, http.StatusTemporaryRedirect)
		return true
	})
	root := t.TempDir()
	if err := other.Servers.Write(r.Dir(t, root), "other"); err != nil {
		t.Fatal(err)
	}
	_, _, err := resolver.New(resolver.Options{
		Hosts:       newHosts(t, root),
		Credentials: func(string) (string, string, error) { return "jo", "pw", nil },
	}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil {
		t.Fatal("resolved")
	}
	calls := other.Calls()
	if len(calls) == 0 {
		t.Fatal("the other server was not asked: nothing was tested")
	}
	for _, c := range calls {
		if a := c.Header.Get("Authorization"); a != "" {
			t.Errorf("the redirect target received %q", a)
		}
	}
}

// tokenServer hands out one token per client certificate.
func tokenServer(t *testing.T) *mtlsRegistry {
	t.Helper()
	return newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"token":"token-for-`+client+`"}`)
	}))
}

func TestTokenServerGetsWhatItsOwnDirectorySays(t *testing.T) {
	t.Parallel()
	tokens := tokenServer(t)
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	r.Guard(func(w http.ResponseWriter, req *http.Request, client string) bool {
		if client == "alpha" && req.Header.Get("Authorization") == "Bearer token-for-teller" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo")
	tokens.Dir(t, root, "teller")
	pull(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host+"/app:1")

	if diff := cmp.Diff([]string{"teller"}, clients(tokens.Calls())); diff != "" {
		t.Errorf("at the token server (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"alpha"}, clients(r.Calls())); diff != "" {
		t.Errorf("401 must not rotate (-want +got):\n%s", diff)
	}
}

// TestTokensOfOneCertificateAreNotUsedWithAnother lets the registry serve its
// tokens itself, bound to the certificate they were asked for with.
func TestTokensOfOneCertificateAreNotUsedWithAnother(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	var mixed []string
	r.Guard(func(w http.ResponseWriter, req *http.Request, client string) bool {
		if req.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"token":"`+client+`"}`)
			return true
		}
		token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
		switch {
		case token == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token",service="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		case client == "alpha":
			w.WriteHeader(http.StatusForbidden)
		case token != client:
			mixed = append(mixed, token+" with "+client)
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token",service="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			return false
		}
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo")
	pull(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host+"/app:1")
	// One request carries alpha's token over: the one that is being rotated.
	if len(mixed) > 1 {
		t.Errorf("tokens were mixed: %v", mixed)
	}
}

func write(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
