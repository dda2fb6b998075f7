package hostdir

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// device is a key that says where it is.
type device struct {
	crypto.Signer
	where string
	err   error
}

func (d device) Device() string { return d.where }
func (d device) SignatureSchemes() []tls.SignatureScheme {
	return []tls.SignatureScheme{tls.PSSWithSHA256}
}

func (d device) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	return d.Signer.Sign(rand, digest, opts)
}

const tpmFile = "-----BEGIN TSS2 PRIVATE KEY-----\nAAAA\n-----END TSS2 PRIVATE KEY-----\n"

func TestBundles(t *testing.T) {
	t.Parallel()
	root := certtest.NewCA("root")
	middle := root.Intermediate("middle")
	pair := middle.Client("alpha")
	for name, parts := range map[string][][]byte{
		"certificate, chain, key":           {pair.CertPEM, middle.PEM, root.PEM, pair.KeyPEM},
		"key, certificate, chain":           {pair.KeyPEM, pair.CertPEM, middle.PEM, root.PEM},
		"key in between":                    {pair.CertPEM, pair.KeyPEM, middle.PEM, root.PEM},
		"the leaf last":                     {pair.KeyPEM, middle.PEM, root.PEM, pair.CertPEM},
		"the leaf in between, the key last": {middle.PEM, pair.CertPEM, root.PEM, pair.KeyPEM},
	} {
		dir, err := Load(fstest.MapFS{"a.cert": {Data: slices.Concat(parts...)}}, LoadOptions{Path: "/d"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := dir.Identities[0].Certificate
		want := [][]byte{pair.Cert.Raw, middle.Cert.Raw, root.Cert.Raw}
		if !got.Leaf.Equal(pair.Cert) || !slices.EqualFunc(got.Certificate, want, bytes.Equal) {
			t.Errorf("%s: presented are %d, first %s", name, len(got.Certificate), got.Leaf.Subject)
		}
	}
	// A key of its own says nothing of the order: what Docker refuses is refused.
	_, err := Load(fstest.MapFS{
		"a.cert": {Data: slices.Concat(middle.PEM, pair.CertPEM)}, "a.key": {Data: pair.KeyPEM},
	}, LoadOptions{Path: "/d"})
	if !errors.Is(err, errKeyMismatch) {
		t.Errorf("got %v", err)
	}
	other := middle.Client("other")
	if _, err := Load(fstest.MapFS{"a.cert": {Data: slices.Concat(pair.CertPEM, other.KeyPEM)}}, LoadOptions{Path: "/d"}); !errors.Is(err, errKeyMismatch) {
		t.Errorf("got %v", err)
	}
}

func TestKeysThatAreElsewhere(t *testing.T) {
	t.Parallel()
	pair := certtest.NewCA("clients").Client("alpha")
	signer, ok := pair.TLS.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("the key does not sign")
	}
	var asked []KeyFile
	open := func(f KeyFile) (crypto.Signer, error) {
		asked = append(asked, f)
		switch {
		case bytes.Contains(f.Data, []byte("refused")):
			return nil, errors.New("is refused here")
		case bytes.Contains(f.Data, []byte("unknown")):
			return nil, nil
		}
		return device{Signer: signer, where: "box"}, nil
	}
	for name, tc := range map[string]struct {
		files fstest.MapFS
		open  KeyOpener
		want  string
	}{
		"a TPM key":              {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: []byte(tpmFile)}}, open, ""},
		"a URI":                  {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: []byte("\npkcs11:object=a\n")}}, open, ""},
		"a TPM key in a bundle":  {fstest.MapFS{"a.cert": {Data: slices.Concat([]byte(tpmFile), pair.CertPEM)}}, open, ""},
		"refused":                {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: []byte("pkcs11:refused")}}, open, "/d/a.cert: a.key: is refused here"},
		"of no kind":             {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: []byte("pkcs11:unknown")}}, open, "is not in the file, and this program cannot use it where it is: it is in a PKCS #11 token"},
		"nobody to ask":          {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: []byte(tpmFile)}}, nil, "is not in the file, and this program cannot use it where it is: it is in a TPM"},
		"another's certificate":  {fstest.MapFS{"a.cert": {Data: certtest.NewCA("x").Client("x").CertPEM}, "a.key": {Data: []byte(tpmFile)}}, open, "does not belong to the certificate"},
		"an ordinary key":        {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: pair.KeyPEM}}, open, ""},
		"a URI and a key's file": {fstest.MapFS{"a.cert": {Data: pair.CertPEM}, "a.key": {Data: append([]byte("pkcs11:object=a\n"), pair.KeyPEM...)}}, nil, "in a PKCS #11 token"},
	} {
		asked = nil
		dir, err := Load(tc.files, LoadOptions{Path: "/d", Keys: tc.open})
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		id := dir.Identities[0]
		if name == "an ordinary key" {
			if len(asked) > 0 || id.Device() != "" || id.TrySigning(rand.Reader) != nil {
				t.Errorf("%s: asked was %v", name, asked)
			}
			continue
		}
		if len(asked) != 1 || !strings.HasPrefix(asked[0].Path, "/d/a.") || !asked[0].Certificate.Equal(pair.Cert) {
			t.Errorf("%s: asked was %v", name, asked)
		}
		if id.Device() != "box" || id.TrySigning(rand.Reader) != nil || !slices.Equal(id.Certificate.SupportedSignatureAlgorithms, []tls.SignatureScheme{tls.PSSWithSHA256}) {
			t.Errorf("%s: got %+v", name, id)
		}
	}
}

func TestTrySigningSeesAnotherKey(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("clients")
	pair := ca.Client("alpha")
	other, ok := ca.Client("other").TLS.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("the key does not sign")
	}
	id := &Identity{KeyFile: "/d/a.key", Certificate: &tls.Certificate{Leaf: pair.Cert, PrivateKey: device{Signer: other, where: "box"}}}
	var failed *KeyError
	if err := id.TrySigning(rand.Reader); !errors.Is(err, ErrSignature) || !errors.As(err, &failed) || failed.Device != "box" {
		t.Errorf("got %v", err)
	}
	id.Certificate.PrivateKey = device{Signer: other, where: "box", err: errors.New("pulled out")}
	if err := id.TrySigning(rand.Reader); err == nil || err.Error() != "/d/a.key: the box did not sign: pulled out" {
		t.Errorf("got %v", err)
	}
}

// TestAnotherReferenceIsAnotherKey: the certificate is the same, and so is the name of
// its file.
func TestAnotherReferenceIsAnotherKey(t *testing.T) {
	t.Parallel()
	root, pair := t.TempDir(), certtest.NewCA("clients").Client("alpha")
	signer, ok := pair.TLS.PrivateKey.(crypto.Signer)
	if !ok {
		t.Fatal("the key does not sign")
	}
	dir := filepath.Join(root, "reg.test")
	hosts := &Hosts{Roots: Roots{root}, Keys: func(f KeyFile) (crypto.Signer, error) {
		return device{Signer: signer, where: strings.TrimSpace(string(f.Data))}, nil
	}}
	put := func(name string, data []byte) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	put("a.cert", pair.CertPEM)
	put("a.key", []byte("pkcs11:object=one\n"))
	refuse := hosts.Keys
	hosts.Keys = func(f KeyFile) (crypto.Signer, error) {
		if info, err := os.Stat(f.Path); err != nil || info.Mode()&0o004 != 0 {
			return nil, errors.New("for all to read")
		}
		return refuse(f)
	}
	for _, mode := range []os.FileMode{0o644, 0o600} {
		if err := os.Chmod(filepath.Join(dir, "a.key"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := hosts.Lookup("reg.test"); (err == nil) != (mode == 0o600) {
			t.Errorf("with the mode %o: %v", mode, err)
		}
	}
	for _, uri := range []string{"pkcs11:object=one", "pkcs11:object=another"} {
		put("a.key", []byte(uri+"\n"))
		host, err := hosts.Lookup("reg.test")
		if err != nil {
			t.Fatal(err)
		}
		if got := host.Endpoints[0].Identities[0].Device(); got != uri {
			t.Errorf("with %s it is %s", uri, got)
		}
	}
}
