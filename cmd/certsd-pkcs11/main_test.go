package main

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/keytest"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

// asHelper makes the test's own program the helper.
const asHelper = "CERTSD_PKCS11_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) != "" {
		daemon()
	}
	if os.Getenv(asHelper) != "" && len(os.Args) == 2 {
		main()
		os.Exit(0)
	}
	if err := os.Setenv(asHelper, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const pin = "p1n-of-the-token"

// token is a token of SoftHSM.
type token struct {
	t      testing.TB
	dir    string
	module string
}

func newToken(t testing.TB) *token {
	t.Helper()
	module := ""
	for _, pattern := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/*/softhsm/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			module = found[0]
		}
	}
	if module == "" {
		citest.Missing(t, "softhsm2 is not installed")
	}
	tok := &token{t: t, dir: t.TempDir(), module: module}
	conf := filepath.Join(tok.dir, "softhsm2.conf")
	tokens := filepath.Join(tok.dir, "tokens")
	if err := errors.Join(os.Mkdir(tokens, 0o700), os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	tok.tool("softhsm2-util", "--init-token", "--free", "--label", "certsd token", "--pin", pin, "--so-pin", "12345678")
	return tok
}

func (tok *token) tool(name string, args ...string) []byte {
	tok.t.Helper()
	out, err := exec.CommandContext(tok.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		tok.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return out
}

// key makes a key, and returns its public part.
func (tok *token) key(label, kind string) crypto.PublicKey {
	tok.t.Helper()
	args := []string{"--module", tok.module, "--token-label", "certsd token", "--login", "--pin", pin}
	tok.tool("pkcs11-tool", append(args, "--keypairgen", "--key-type", kind, "--label", label, "--id", "01")...)
	k := &key{module: tok.module, pin: pin, uri: &pkcs11uri.URI{Object: label}}
	public, err := k.publicKey()
	if err := errors.Join(err, k.close()); err != nil {
		tok.t.Fatal(err)
	}
	return public
}

// pin writes the PIN to a file, and returns it.
func (tok *token) pin() string {
	path := filepath.Join(tok.dir, "pin")
	if err := os.WriteFile(path, []byte(pin+"\n"), 0o600); err != nil {
		tok.t.Fatal(err)
	}
	return path
}

func (tok *token) uri(label string) string {
	return fmt.Sprintf("pkcs11:token=certsd%%20token;object=%s;type=private?module-path=%s&pin-source=%s\n", label, tok.module, tok.pin())
}

// server accepts any client of a CA.
type server struct {
	*keytest.Server
	devices *keys.Devices
}

func newServer(t testing.TB, command ...string) *server {
	t.Helper()
	devices := keys.New(command)
	s := &server{keytest.NewServer(t, &certsd.Hosts{Keys: devices.Open}), devices}
	t.Cleanup(func() {
		s.CloseIdleConnections()
		_ = devices.Close()
	})
	return s
}

// pair writes a certificate, and the URI of its key.
func (s *server) pair(t testing.TB, certificate []byte, uri string) {
	t.Helper()
	s.Write(t, "alpha.cert", certificate)
	s.Write(t, "alpha.key", []byte(uri))
}

// tokenPair makes a key in a token and writes the pair for it.
func (s *server) tokenPair(t testing.TB, tok *token, label, kind string) {
	t.Helper()
	s.pair(t, s.Clients.Certify("alpha", tok.key(label, kind)), tok.uri(label))
}

// get makes a request on a connection of its own.
func (s *server) get(t testing.TB) error {
	t.Helper()
	s.CloseIdleConnections()
	_, err := s.Get(t, "/v2/")
	return err
}

// helpers are the processes of this one.
func helpers(t testing.TB) []int {
	t.Helper()
	return childrenOf(t, os.Getpid())
}

// childrenOf are the processes that one has started.
func childrenOf(t testing.TB, starter int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var pid, parent int
		var state string
		fields := data[bytes.LastIndexByte(data, ')')+1:]
		if _, err := fmt.Sscan(string(data), &pid); err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(fields), &state, &parent); err == nil && parent == starter && state != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestKeysInAToken(t *testing.T) {
	tok := newToken(t)
	for _, kind := range []string{"rsa:2048", "EC:prime256v1", "EC:secp384r1"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			s := newServer(t, os.Args[0])
			label := strings.NewReplacer(":", "", " ", "").Replace(kind) + strconv.Itoa(int(version))
			s.tokenPair(t, tok, label, kind)
			for range 3 {
				if err := s.get(t); err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			if !slices.Equal(s.Seen(), []string{"alpha", "alpha", "alpha"}) {
				t.Errorf("%s: seen were %v", kind, s.Seen())
			}
			pids := helpers(t)
			if len(pids) != 1 {
				t.Errorf("%s: the helpers are %v", kind, pids)
			}
			if err := s.devices.Close(); err != nil {
				t.Fatal(err)
			}
			if left := helpers(t); len(left) > 0 {
				t.Errorf("%s: left are %v", kind, left)
			}
		}
	}
}

func TestHelperIsStartedAgain(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	s.tokenPair(t, tok, "k", "EC:prime256v1")
	if _, err := s.Hosts.Lookup(filepath.Base(s.Dir)); err != nil {
		t.Fatal(err)
	}
	if pids := helpers(t); len(pids) > 0 {
		t.Errorf("a lookup has started %v", pids)
	}
	if err := s.get(t); err != nil {
		t.Fatal(err)
	}
	first := helpers(t)
	if len(first) != 1 {
		t.Fatalf("the helpers are %v", first)
	}
	if err := syscall.Kill(first[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.get(t); err != nil {
		t.Fatal(err)
	}
	if second := helpers(t); len(second) != 1 || second[0] == first[0] {
		t.Errorf("after %v the helpers are %v", first, second)
	}
}

// TestPINIsNowhere looks where a PIN could be seen.
func TestPINIsNowhere(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	s.tokenPair(t, tok, "k", "rsa:2048")
	if err := s.get(t); err != nil {
		t.Fatal(err)
	}
	pids := helpers(t)
	if len(pids) != 1 {
		t.Fatalf("the helpers are %v", pids)
	}
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pids[0], name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(pin)) {
			t.Errorf("the PIN is in its %s", name)
		}
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if strings.HasPrefix(line, "Max core") && !slices.Equal(strings.Fields(line)[4:6], []string{"1", "1"}) {
			t.Errorf("it may leave a core dump: %s", line)
		}
	}
	// Another child of ours has none of its pipes.
	out, err := exec.CommandContext(t.Context(), "ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range []string{"0", "1"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pids[0], fd))
		if err != nil || !strings.HasPrefix(link, "pipe:") {
			t.Fatalf("its descriptor %s is %s: %v", fd, link, err)
		}
		if bytes.Contains(out, []byte(link)) {
			t.Errorf("%s is inherited by others:\n%s", link, out)
		}
	}
}

func TestATokenThatIsPulledOut(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	s.tokenPair(t, tok, "k", "EC:prime256v1")
	if err := s.get(t); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(tok.dir, "away")
	if err := errors.Join(os.Rename(filepath.Join(tok.dir, "tokens"), away), os.Mkdir(filepath.Join(tok.dir, "tokens"), 0o700)); err != nil {
		t.Fatal(err)
	}
	err := s.get(t)
	if err == nil {
		t.Fatal("it signs without its token")
	}
	for _, word := range []string{"alpha.key", "pkcs11:token=certsd%20token;object=k", "is it plugged in?"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v\ndoes not say %s", err, word)
		}
	}
	if strings.Contains(err.Error(), pin) {
		t.Error("the PIN is in the error")
	}
	if err := errors.Join(os.Remove(filepath.Join(tok.dir, "tokens")), os.Rename(away, filepath.Join(tok.dir, "tokens"))); err != nil {
		t.Fatal(err)
	}
	if err := s.get(t); err != nil {
		t.Errorf("after it was put in again: %v", err)
	}
}

func TestWrongPINIsTriedOnce(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	s.pair(t, s.Clients.Certify("alpha", tok.key("k", "EC:prime256v1")), strings.Replace(tok.uri("k"), "pin-source="+tok.pin(), "pin-value=wrong-pin-1", 1))
	for range 3 {
		err := s.get(t)
		if err == nil || !strings.Contains(err.Error(), "does not take the PIN, which is not tried again") || strings.Contains(err.Error(), "wrong-pin-1") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnotherKeyThanTheCertificates(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	tok.key("k", "EC:prime256v1")
	s.pair(t, s.Clients.Client("alpha").CertPEM, tok.uri("k"))
	if err := s.get(t); err == nil || !strings.Contains(err.Error(), "was not made with the certificate's key") {
		t.Errorf("got %v", err)
	}
	if err := s.Identity(t).TrySigning(rand.Reader); !errors.Is(err, hostdir.ErrSignature) {
		t.Errorf("got %v", err)
	}
}

// TestSignerOfEnterpriseCertificateProxy pulls by the signer that Google ships, and
// lets Google's client have ours.
func TestSignerOfEnterpriseCertificateProxy(t *testing.T) {
	tok := newToken(t)
	ecp := filepath.Join(t.TempDir(), "ecp")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", ecp, "github.com/googleapis/enterprise-certificate-proxy/internal/signer/linux").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public := tok.key("k", "EC:prime256v1")
	slot := tok.slot()
	for name, command := range map[string][]string{
		"told by us":                 {ecp},
		"with its own configuration": {ecp, tok.config(slot)},
		"ours with that":             {os.Args[0], tok.config(slot)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, command...)
			cert := s.Clients.Certify("alpha", public)
			tok.store("k", cert)
			s.pair(t, cert, fmt.Sprintf("pkcs11:slot-id=%d;object=k?module-path=%s&pin-source=%s\n", slot, tok.module, tok.pin()))
			for range 2 {
				if err := s.get(t); err != nil {
					t.Fatal(err)
				}
			}
			if len(s.Seen()) != 2 {
				t.Errorf("seen were %v", s.Seen())
			}
		})
	}
}

// slot is the number of the token's slot.
func (tok *token) slot() uint64 {
	tok.t.Helper()
	for line := range strings.Lines(string(tok.tool("softhsm2-util", "--show-slots"))) {
		var n uint64
		if _, err := fmt.Sscanf(line, "Slot %d", &n); err == nil && n > 1 {
			return n
		}
	}
	tok.t.Fatal("the token has no slot")
	return 0
}

// config writes a configuration as gcloud has it.
func (tok *token) config(slot uint64) string {
	path := filepath.Join(tok.dir, "certificate_config.json")
	text := fmt.Sprintf(`{"cert_configs": {"pkcs11": {"slot": "%#x", "label": "k", "module": %q, "user_pin": %q}}}`, slot, tok.module, pin)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tok.t.Fatal(err)
	}
	return path
}

// store puts a certificate beside a key, without which Google's signer has none.
func (tok *token) store(label string, certPEM []byte) {
	tok.t.Helper()
	block, _ := pem.Decode(certPEM)
	path := filepath.Join(tok.dir, label+".crt.der")
	if err := os.WriteFile(path, block.Bytes, 0o600); err != nil {
		tok.t.Fatal(err)
	}
	tok.tool("pkcs11-tool", "--module", tok.module, "--token-label", "certsd token", "--login", "--pin", pin, "--write-object", path, "--type", "cert", "--label", label, "--id", "01")
}

func TestTrySigning(t *testing.T) {
	tok := newToken(t)
	s := newServer(t, os.Args[0])
	s.tokenPair(t, tok, "k", "rsa:2048")
	id := s.Identity(t)
	if err := id.TrySigning(rand.Reader); err != nil || id.Device() != "token with pkcs11:token=certsd%20token;object=k" {
		t.Errorf("%s: %v", id.Device(), err)
	}
}
