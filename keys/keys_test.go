package keys_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/tpmtest"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server that accepts one client, and the directory for it.
type rig struct {
	*certsd.Transport
	dir, url string
	clients  *certtest.CA

	mu sync.Mutex
	// accepts is the common name of that client, seen are those that came.
	accepts string
	seen    []string
	warned  []string
	// conns are the handshakes.
	conns atomic.Int32
}

func newRig(t testing.TB, open certsd.KeyOpener) *rig {
	t.Helper()
	clients, servers := certtest.NewCA("clients"), certtest.NewCA("servers")
	r := &rig{clients: clients}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		client := req.TLS.PeerCertificates[0].Subject.CommonName
		r.seen = append(r.seen, client)
		if client != r.accepts {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	s.TLS = &tls.Config{
		SessionTicketsDisabled: true, // each connection needs a signature
		ClientAuth:             tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool(), Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		VerifyConnection: func(tls.ConnectionState) error { r.conns.Add(1); return nil },
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	root := t.TempDir()
	r.url = s.URL
	r.dir = filepath.Join(root, strings.TrimPrefix(s.URL, "https://"))
	if err := errors.Join(os.Mkdir(r.dir, 0o700), servers.Write(r.dir, "ca")); err != nil {
		t.Fatal(err)
	}
	r.Transport = &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{root}, Keys: open, OnWarning: func(_ string, problem error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.warned = append(r.warned, problem.Error())
	}}}
	t.Cleanup(r.CloseIdleConnections)
	return r
}

func (r *rig) write(t testing.TB, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate writes a certificate of a key, by the name of the client.
func (r *rig) certificate(t testing.TB, name string, public crypto.PublicKey) {
	t.Helper()
	r.write(t, name+".cert", r.clients.Certify(name, public))
}

// tpmPair writes a pair whose key is in a TPM.
func (r *rig) tpmPair(t testing.TB, tpm *tpmtest.TPM, name string, o tpmtest.Options) {
	t.Helper()
	file, public := tpm.Key(o)
	r.write(t, name+".key", file)
	r.certificate(t, name, public)
}

// get asks for a path, and returns the status and who was seen.
func (r *rig) get(t testing.TB, path string) (int, string, error) {
	t.Helper()
	r.mu.Lock()
	r.seen = nil
	r.mu.Unlock()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	return resp.StatusCode, strings.Join(r.seen, " "), nil
}

func TestPairsOfEachKindAreTriedInOrder(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
	r := newRig(t, devices.Open)
	if err := r.clients.Client("alpha").Write(r.dir, "alpha"); err != nil {
		t.Fatal(err)
	}
	r.tpmPair(t, tpm, "beta", tpmtest.Options{RSA: true})
	r.tpmPair(t, tpm, "delta", tpmtest.Options{})
	for _, tc := range []struct{ path, accepts, seen string }{
		{"/v2/a/manifests/1", "delta", "alpha beta delta"},
		{"/v2/a/manifests/1", "delta", "delta"},
		{"/v2/b/manifests/1", "beta", "alpha beta"},
		{"/v2/c/manifests/1", "alpha", "alpha"},
	} {
		r.accepts = tc.accepts
		if status, seen, err := r.get(t, tc.path); err != nil || status != http.StatusOK || seen != tc.seen {
			t.Errorf("%s for %s: %d %s %v", tc.path, tc.accepts, status, seen, err)
		}
	}
	if n := r.conns.Load(); n != 3 {
		t.Errorf("%d handshakes, want one for each pair", n)
	}
}

func TestATPMThatIsAwayLeavesOtherPairs(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
	r := newRig(t, devices.Open)
	r.accepts = "beta"
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{})
	if err := r.clients.Client("beta").Write(r.dir, "beta"); err != nil {
		t.Fatal(err)
	}
	tpm.Stop()
	if status, seen, err := r.get(t, "/v2/a/manifests/1"); err != nil || status != http.StatusOK || seen != "beta" {
		t.Errorf("%d %s %v", status, seen, err)
	}
	if err := os.Remove(filepath.Join(r.dir, "beta.cert")); err != nil {
		t.Fatal(err)
	}
	r.CloseIdleConnections()
	_, _, err := r.get(t, "/v2/b/manifests/1")
	var failed *certsd.KeyError
	if !errors.As(err, &failed) || failed.Device != "TPM "+tpm.TCTI || failed.File != filepath.Join(r.dir, "alpha.key") {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{r.dir + "/alpha.key", tpm.TCTI, "did not sign", "TPM2TOOLS_TCTI"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %s", err, word)
		}
	}
}

func TestATPMKeyWithAPasswordIsPassedOver(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r := newRig(t, (&keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}).Open)
	r.accepts = "beta"
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{Password: "geheim"})
	if err := r.clients.Client("beta").Write(r.dir, "beta"); err != nil {
		t.Fatal(err)
	}
	if status, seen, err := r.get(t, "/v2/a/manifests/1"); err != nil || status != http.StatusOK || seen != "beta" {
		t.Errorf("%d %s %v", status, seen, err)
	}
	if all := strings.Join(r.warned, "\n"); !strings.Contains(all, r.dir+"/alpha.cert") || !strings.Contains(all, "has a password") {
		t.Errorf("warned of %s", all)
	}
}

func TestTrySigning(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r := newRig(t, (&keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}).Open)
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{RSA: true})
	host, err := r.Hosts.Lookup(filepath.Base(r.dir))
	if err != nil {
		t.Fatal(err)
	}
	id := host.Endpoints[0].Identities[0]
	if err := id.TrySigning(rand.Reader); err != nil || id.Device() != "TPM "+tpm.TCTI {
		t.Errorf("%s: %v", id.Device(), err)
	}
	tpm.Stop()
	if err := id.TrySigning(rand.Reader); err == nil {
		t.Error("it signs without a TPM")
	}
}

func TestWithoutAnOpener(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r := newRig(t, nil)
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{})
	_, _, err := r.get(t, "/v2/a/manifests/1")
	if err == nil || !strings.Contains(err.Error(), "alpha.cert: the private key is no file, and nothing here can ask where it is: it is in a TPM") {
		t.Errorf("got %v", err)
	}
	file, err := os.ReadFile(filepath.Join(r.dir, "alpha.key"))
	if err != nil || !bytes.Contains(file, []byte("TSS2")) {
		t.Fatal(err)
	}
}
