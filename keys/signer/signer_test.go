package signer_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/keys/signer"
)

// mode says how this program behaves as a helper, which it is with it.
const mode = "CERTSD_SIGNER_TEST"

func TestMain(m *testing.M) {
	if how := os.Getenv(mode); how != "" && len(os.Args) == 2 && os.Args[1] == "/dev/fd/3" {
		if err := help(how); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// service signs with a key whose file is the module of the configuration.
type service struct {
	key    crypto.Signer
	how    string
	config signer.Config
}

func (s *service) Public(_ struct{}, public *[]byte) (err error) {
	if s.how == "no public key" {
		return errors.New("who knows")
	}
	*public, err = x509.MarshalPKIXPublicKey(s.key.Public())
	return err
}

func (s *service) Sign(args signer.SignArgs, signature *[]byte) (err error) {
	switch s.how {
	case "dies":
		fmt.Fprintln(os.Stderr, "the PIN was", s.config.CertConfigs.PKCS11.UserPIN)
		os.Exit(3)
	case "refuses":
		return fmt.Errorf("CKR_DEVICE_REMOVED with %s\x1b[31m", s.config.CertConfigs.PKCS11.UserPIN)
	case "wrong":
		args.Digest = bytes.Repeat([]byte{1}, len(args.Digest))
	case "long":
		*signature = make([]byte, 1<<20)
		return nil
	case "dies once":
		mark := s.config.CertConfigs.PKCS11.Module + ".died"
		if _, err := os.Stat(mark); err != nil {
			_ = os.WriteFile(mark, nil, 0o600)
			os.Exit(3)
		}
	}
	*signature, err = s.key.Sign(rand.Reader, args.Digest, args.Opts)
	return err
}

type stdio struct {
	io.Reader
	io.WriteCloser
}

func help(how string) error {
	if how == "ends" {
		return errors.New("there is no such thing")
	}
	data, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	s := &service{how: how}
	if err := json.Unmarshal(data, &s.config); err != nil {
		return err
	}
	der, err := os.ReadFile(s.config.CertConfigs.PKCS11.Module)
	if err != nil {
		return err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return err
	}
	s.key = key
	if how == "rubbish" {
		_, err := os.Stdout.WriteString(strings.Repeat("rubbish\n", 1<<15))
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName(signer.Service, s); err != nil {
		return err
	}
	server.ServeConn(stdio{os.Stdin, os.Stdout})
	return nil
}

// token is a key in a file, and a certificate of it.
type token struct {
	cert *x509.Certificate
	uri  []byte
	// file is where the URI stands.
	file string
}

const pin = "p1n-of-the-token"

func newToken(t *testing.T) token {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "module")
	tok := token{file: filepath.Join(dir, "alpha.key")}
	tok.uri = []byte("pkcs11:token=certsd;object=alpha?module-path=" + module + "&pin-value=" + pin + "\n")
	if err := errors.Join(os.WriteFile(module, der, 0o600), os.WriteFile(tok.file, tok.uri, 0o600)); err != nil {
		t.Fatal(err)
	}
	pair := certtest.Certificate(certtest.NewCA("clients").Certify("alpha", key.Public()))
	tok.cert = pair
	return tok
}

// sign opens the key and lets it sign.
func (tok token) sign(t *testing.T, how string) error {
	t.Helper()
	t.Setenv(mode, how)
	helpers := &signer.Helpers{Command: []string{os.Args[0]}}
	defer helpers.Close()
	key, err := helpers.Open(tok.file, tok.uri, tok.cert)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func TestHelpers(t *testing.T) {
	for how, want := range map[string]string{
		"good":          "",
		"no public key": "",
		"dies once":     "",
		"dies":          "ended: it said: the PIN was ***",
		"refuses":       "the helper says: CKR_DEVICE_REMOVED with ***",
		"wrong":         "was not made with the certificate's key",
		"long":          "ended",
		"rubbish":       "ended",
		"ends":          "ended: it said: there is no such thing",
	} {
		t.Run(how, func(t *testing.T) {
			err := newToken(t).sign(t, how)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b\n") || err != nil && strings.Contains(err.Error(), pin) {
				t.Errorf("%q shows what it should not", err)
			}
		})
	}
}

func TestManyAtATimeShareAHelper(t *testing.T) {
	t.Setenv(mode, "good")
	tok := newToken(t)
	helpers := &signer.Helpers{Command: []string{os.Args[0]}}
	defer helpers.Close()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			key, err := helpers.Open(tok.file, tok.uri, tok.cert)
			if err == nil {
				_, err = key.Sign(nil, make([]byte, 32), crypto.SHA256)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	tok := newToken(t)
	dir := filepath.Dir(tok.file)
	pinFile := filepath.Join(dir, "pin")
	for name, tc := range map[string]struct {
		uri               string
		key, pin          os.FileMode
		want              string
		withoutASignerToo bool
	}{
		"pin-value for all to see":      {"pkcs11:object=a?pin-value=" + pin, 0o644, 0o600, "the PIN is not safe there: the key file can be read by everybody: chmod o= ", true},
		"pin-source for all to see":     {"pkcs11:object=a?pin-source=" + pinFile, 0o604, 0o600, "the key file can be read by everybody", true},
		"the file of pin-source, too":   {"pkcs11:object=a?module-path=/dev/null&pin-source=file:" + pinFile, 0o600, 0o644, "the file of pin-source, " + pinFile + ", can be read by everybody", false},
		"no helper is named":            {"pkcs11:object=a", 0o644, 0o600, `signer = ["certsd-pkcs11"]`, true},
		"a PIN that only a group reads": {"pkcs11:object=a?pin-source=" + pinFile, 0o640, 0o640, "", false},
		"no PIN":                        {"pkcs11:object=a", 0o644, 0o600, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(os.WriteFile(tok.file, []byte(tc.uri), 0o600), os.Chmod(tok.file, tc.key), os.WriteFile(pinFile, []byte(pin), 0o600), os.Chmod(pinFile, tc.pin)); err != nil {
				t.Fatal(err)
			}
			helpers := &signer.Helpers{}
			if !tc.withoutASignerToo {
				helpers.Command = []string{"nothing"}
			}
			key, err := helpers.Open(tok.file, []byte(tc.uri), tok.cert)
			if err == nil && strings.Contains(name, "file of pin-source") {
				_, err = key.Sign(nil, make([]byte, 32), crypto.SHA256)
			}
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), pin)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAHelperThatIsNotThere(t *testing.T) {
	t.Parallel()
	tok := newToken(t)
	helpers := &signer.Helpers{Command: []string{"certsd-nothing"}}
	key, err := helpers.Open(tok.file, tok.uri, tok.cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil || !strings.Contains(err.Error(), `"certsd-nothing": executable file not found`) {
		t.Errorf("got %v", err)
	}
}
