package keys_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/keytest"
	"github.com/certsd/containerd-certsd/internal/tpmtest"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a server with a directory whose problems are noted.
type rig struct {
	*keytest.Server

	mu     sync.Mutex
	warned []string
}

func newRig(t testing.TB, open certsd.KeyOpener) *rig {
	t.Helper()
	r := new(rig)
	r.Server = keytest.NewServer(t, &certsd.Hosts{Keys: open, Hooks: hostdir.Hooks{OnWarning: func(_ string, problem error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.warned = append(r.warned, problem.Error())
	}}})
	return r
}

// tpmPair writes a pair whose key is in a TPM.
func (r *rig) tpmPair(t testing.TB, tpm *tpmtest.TPM, name string, o tpmtest.Options) {
	t.Helper()
	file, public := tpm.Key(o)
	r.Write(t, name+".key", file)
	r.Write(t, name+".cert", r.Clients.Certify(name, public))
}

// get asks for a path, and returns the status and who came for it.
func (r *rig) get(t testing.TB, path string) (int, string, error) {
	t.Helper()
	before := len(r.Seen())
	status, err := r.Get(t, path)
	return status, strings.Join(r.Seen()[before:], " "), err
}

func TestPairsOfEachKindAreTriedInOrder(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
	r := newRig(t, devices.Open)
	if err := r.Clients.Client("alpha").Write(r.Dir, "alpha"); err != nil {
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
		r.Accept(tc.accepts)
		if status, seen, err := r.get(t, tc.path); err != nil || status != http.StatusOK || seen != tc.seen {
			t.Errorf("%s for %s: %d %s %v", tc.path, tc.accepts, status, seen, err)
		}
	}
	if n := r.Handshakes.Load(); n != 3 {
		t.Errorf("%d handshakes, want one for each pair", n)
	}
}

// TestOneSignatureForAPull counts what reaches the TPM.
func TestOneSignatureForAPull(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	tcti, signatures := tpm.Counted()
	r := newRig(t, (&keys.Devices{TPM: tpmkey.TPM{TCTI: tcti}}).Open)
	r.Resume()
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{})
	r.Pulls(t, signatures)
}

func TestATPMThatIsAwayLeavesOtherPairs(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
	r := newRig(t, devices.Open)
	r.Accept("beta")
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{})
	if err := r.Clients.Client("beta").Write(r.Dir, "beta"); err != nil {
		t.Fatal(err)
	}
	tpm.Stop()
	if status, seen, err := r.get(t, "/v2/a/manifests/1"); err != nil || status != http.StatusOK || seen != "beta" {
		t.Errorf("%d %s %v", status, seen, err)
	}
	if err := os.Remove(filepath.Join(r.Dir, "beta.cert")); err != nil {
		t.Fatal(err)
	}
	r.CloseIdleConnections()
	_, _, err := r.get(t, "/v2/b/manifests/1")
	var failed *certsd.KeyError
	if !errors.As(err, &failed) || failed.Device != "TPM "+tpm.TCTI || failed.File != filepath.Join(r.Dir, "alpha.key") {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{r.Dir + "/alpha.key", tpm.TCTI, "did not sign", "TPM2TOOLS_TCTI"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v does not say %s", err, word)
		}
	}
}

func TestATPMKeyWithAPasswordIsPassedOver(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r := newRig(t, (&keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}).Open)
	r.Accept("beta")
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{Password: "geheim"})
	if err := r.Clients.Client("beta").Write(r.Dir, "beta"); err != nil {
		t.Fatal(err)
	}
	if status, seen, err := r.get(t, "/v2/a/manifests/1"); err != nil || status != http.StatusOK || seen != "beta" {
		t.Errorf("%d %s %v", status, seen, err)
	}
	if all := strings.Join(r.warned, "\n"); !strings.Contains(all, r.Dir+"/alpha.cert") || !strings.Contains(all, "has a password") {
		t.Errorf("warned of %s", all)
	}
}

func TestTrySigning(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	r := newRig(t, (&keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}).Open)
	r.tpmPair(t, tpm, "alpha", tpmtest.Options{RSA: true})
	id := r.Identity(t)
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
	if err == nil || !strings.Contains(err.Error(), "alpha.cert: the private key is not in the file, and this program cannot use it where it is: it is in a TPM") {
		t.Errorf("got %v", err)
	}
	file, err := os.ReadFile(filepath.Join(r.Dir, "alpha.key"))
	if err != nil || !bytes.Contains(file, []byte("TSS2")) {
		t.Fatal(err)
	}
}
