package certtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestFilesAreThoseThatAreRead by Go's own loader: all other tests stand on them.
func TestFilesAreThoseThatAreRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := certtest.NewCA("servers")
	pair := ca.Issue(certtest.Request{CommonName: "one", Names: []string{"127.0.0.1", "registry.test", "spiffe://registry.test/one"}})
	if err := errors.Join(ca.Write(dir, "ca"), pair.Write(dir, "one")); err != nil {
		t.Fatal(err)
	}
	read, err := tls.LoadX509KeyPair(filepath.Join(dir, "one.cert"), filepath.Join(dir, "one.key"))
	if err != nil {
		t.Fatal(err)
	}
	cert := read.Leaf
	if len(cert.IPAddresses) != 1 || len(cert.DNSNames) != 1 || len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://registry.test/one" {
		t.Errorf("it is for %v, %v and %v", cert.IPAddresses, cert.DNSNames, cert.URIs)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("the CA's file has no certificate")
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: "registry.test"}); err != nil {
		t.Error(err)
	}
}

// TestFilesThatCannotBeWritten are told of: a test without them would test something
// else.
func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("clients")
	none := filepath.Join(t.TempDir(), "none")
	for what, err := range map[string]error{"a CA": ca.Write(none, "ca"), "a pair": ca.Client("one").Write(none, "one")} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := certtest.WriteMany(none, 1, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("many: %v", err)
	}
	root := t.TempDir()
	names, err := certtest.WriteMany(root, 2, 3)
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, name := range names {
		pairs, err := filepath.Glob(filepath.Join(root, name, "*.key"))
		if err != nil || len(pairs) != 3 {
			t.Errorf("%s has %v, %v", name, pairs, err)
		}
	}
}
