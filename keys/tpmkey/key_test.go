package tpmkey_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/internal/tpmtest"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signs lets a key sign as TLS would, by each of its schemes.
func signs(t *testing.T, key *tpmkey.Key) {
	t.Helper()
	schemes := key.SignatureSchemes()
	if len(schemes) == 0 {
		t.Error("the key signs by nothing")
	}
	for _, scheme := range schemes {
		hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[scheme.String()[len(scheme.String())-3:]]
		digest := make([]byte, hash.Size())
		_, _ = rand.Read(digest)
		var opts crypto.SignerOpts = hash
		pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
		if strings.HasPrefix(scheme.String(), "PSS") {
			opts = pss
		}
		signature, err := key.Sign(nil, digest, opts)
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		good := false
		switch pub := key.Public().(type) {
		case *ecdsa.PublicKey:
			good = ecdsa.VerifyASN1(pub, digest, signature)
		case *rsa.PublicKey:
			good = rsa.VerifyPKCS1v15(pub, hash, digest, signature) == nil
			if opts == pss {
				good = rsa.VerifyPSS(pub, hash, digest, signature, pss) == nil
			}
		}
		if !good {
			t.Errorf("%s: the signature is wrong", scheme)
		}
	}
}

func TestKeysOfATPMSign(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	ours := &tpmkey.TPM{TCTI: tpm.TCTI}
	for name, tc := range map[string]struct {
		key     tpmtest.Options
		schemes int
	}{
		"ECDSA":                      {tpmtest.Options{}, 1},
		"ECDSA P-384":                {tpmtest.Options{P384: true}, 1},
		"RSA":                        {tpmtest.Options{RSA: true}, 6},
		"below a key that stays":     {tpmtest.Options{Persistent: 0x81000101}, 1},
		"RSA below a key that stays": {tpmtest.Options{RSA: true, Persistent: 0x81000102, RSAParent: true}, 6},
		"for signatures alone":       {tpmtest.Options{SignOnly: true}, 1},
		"for PKCS #1 alone":          {tpmtest.Options{RSA: true, SignOnly: true, Bound: true}, 1},
		"for ECDSA with SHA-256":     {tpmtest.Options{SignOnly: true, Bound: true}, 1},
		"a password is not excluded": {tpmtest.Options{Unsaid: true}, 1},

		"made elsewhere, to be imported":       {tpmtest.Options{Importable: true}, 1},
		"RSA, to be imported":                  {tpmtest.Options{Importable: true, RSA: true}, 6},
		"to be imported, below one that stays": {tpmtest.Options{Importable: true, Persistent: 0x81000103}, 1},
		"to be imported, below an RSA parent":  {tpmtest.Options{Importable: true, Persistent: 0x81000104, RSAParent: true}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			file, public := tpm.Key(tc.key)
			key, err := ours.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(public) {
				t.Error("it has another public key")
			}
			if got := len(key.SignatureSchemes()); got != tc.schemes {
				t.Errorf("it signs by %v", key.SignatureSchemes())
			}
			signs(t, key)
			signs(t, key) // as it was saved
		})
	}
	tpm.Do(func(c transport.TPM) {
		rsp, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: 0x80000000, PropertyCount: 10}.Execute(c)
		if err != nil {
			t.Fatal(err)
		}
		if handles, err := rsp.CapabilityData.Data.Handles(); err != nil || len(handles.Handle) > 0 {
			t.Errorf("left behind in the TPM: %v, %v", handles, err)
		}
	})
}

// TestAKeyIsLoadedOnce counts what costs a TPM of its own chip seconds: to make the
// parent anew, to import and to load.
func TestAKeyIsLoadedOnce(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	tcti, loaded := tpm.Counted(tpm2.TPMCCCreatePrimary, tpm2.TPMCCImport, tpm2.TPMCCLoad)
	file, _ := tpm.Key(tpmtest.Options{Importable: true})
	key, err := (&tpmkey.TPM{TCTI: tcti}).Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	if n := loaded(); n != 3 {
		t.Errorf("%d such commands, want one of each", n)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	ours := &tpmkey.TPM{TCTI: tpm.TCTI}
	for name, tc := range map[string]struct {
		key  tpmtest.Options
		want error
	}{
		"with a password": {tpmtest.Options{Password: "secret"}, tpmkey.ErrPassword},
		"with a policy":   {tpmtest.Options{Policy: make([]byte, 32)}, tpmkey.ErrPolicy},
		"to be imported":  {tpmtest.Options{Importable: true, Password: "secret"}, tpmkey.ErrPassword},
	} {
		t.Run(name, func(t *testing.T) {
			file, _ := tpm.Key(tc.key)
			if _, err := ours.Open(file); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPasswordIsNotGuessed: a TPM counts what it takes for guesses.
func TestPasswordIsNotGuessed(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	file, _ := tpm.Key(tpmtest.Options{Password: "secret"})
	// Debian's tpm2_encodeobject says of such a key that it has no password.
	file = tpm.WithoutPassword(file)
	key, err := (&tpmkey.TPM{TCTI: tpm.TCTI}).Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); !errors.Is(err, tpmkey.ErrPassword) {
			t.Fatalf("got %v", err)
		}
	}
	good, _ := tpm.Key(tpmtest.Options{})
	if key, err = (&tpmkey.TPM{TCTI: tpm.TCTI}).Open(good); err != nil {
		t.Fatal(err)
	}
	signs(t, key) // it would be locked
}

func TestTPMThatIsAway(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	file, _ := tpm.Key(tpmtest.Options{})
	key, err := (&tpmkey.TPM{TCTI: tpm.TCTI}).Open(file)
	if err != nil {
		t.Fatal(err)
	}
	signs(t, key)
	tpm.Stop()
	if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil || !strings.Contains(err.Error(), "TPM2TOOLS_TCTI") {
		t.Errorf("got %v", err)
	}
	tpm.Run() // what was saved is of no use any more
	signs(t, key)
}

func TestSlowTPM(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(t.TempDir(), "tpm"))
	if err != nil {
		t.Fatal(err)
	}
	var held sync.WaitGroup
	defer held.Wait()
	done := make(chan struct{})
	defer close(done)
	defer listener.Close()
	held.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			held.Go(func() {
				<-done
				_ = c.Close()
			})
		}
	})
	made := tpmtest.Start(t)
	file, _ := made.Key(tpmtest.Options{})
	slow := &tpmkey.TPM{TCTI: "swtpm:path=" + listener.Addr().String(), Patience: 50 * time.Millisecond}
	key, err := slow.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"does not answer within 50ms", "the previous command was not answered within 50ms"} {
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v", err)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	ours := &tpmkey.TPM{TCTI: tpm.TCTI}
	var keys []*tpmkey.Key
	for range 4 {
		file, _ := tpm.Key(tpmtest.Options{})
		key, err := ours.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { signs(t, keys[i%len(keys)]) })
	}
	all.Wait()
}

func TestWhereTheTPMIs(t *testing.T) {
	t.Parallel()
	file, _ := tpmtest.Start(t).Key(tpmtest.Options{})
	for tcti, want := range map[string]string{
		"tabrmd:bus_name=x":                     "the daemon tabrmd is not supported",
		"swtpm:port=1,color=red":                `"color" is not host, port or path`,
		"pcap":                                  "use device:PATH",
		"device:/nonexistent":                   "no such file or directory: there is no TPM",
		"/nonexistent":                          "no such file or directory: there is no TPM",
		"swtpm:host=127.0.0.1,port=1":           "connection refused: it is not running",
		"mssim:host=127.0.0.1,port=1":           "connection refused",
		"libtss2-tcti-mssim.so.0:path=/nowhere": "there is no TPM, or it is somewhere else",
	} {
		key, err := (&tpmkey.TPM{TCTI: tcti}).Open(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := key.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", tcti, err)
		}
		if key.Device() != "TPM "+tcti {
			t.Errorf("it is in %s", key.Device())
		}
	}
}
