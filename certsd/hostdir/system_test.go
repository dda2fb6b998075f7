//go:build linux

package hostdir

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

func pool(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, cert := range certs {
		p.AddCert(cert)
	}
	return p
}

// system makes a bundle and a directory of the system's CA roots.
func system(t *testing.T) (bundle, dir string) {
	t.Helper()
	root := tree(t, "bundle.pem", testCA.PEM, "dir/", nil)
	bundle, dir = filepath.Join(root, "bundle.pem"), filepath.Join(root, "dir")
	t.Setenv("SSL_CERT_FILE", bundle)
	t.Setenv("SSL_CERT_DIR", dir)
	return bundle, dir
}

func lookupEndpoint(t *testing.T, h *Hosts, name string) *Endpoint {
	t.Helper()
	host, err := h.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return host.Endpoints[0]
}

func TestSystemRootsAreReread(t *testing.T) {
	bundle, dir := system(t)
	root := tree(t, "own/ca.crt", otherCA.PEM)
	fallback, both := &Hosts{Roots: Roots{root}}, &Hosts{Roots: Roots{root}, SystemRoots: "append"}

	bare, own, merged := lookupEndpoint(t, fallback, "bare"), lookupEndpoint(t, fallback, "own"), lookupEndpoint(t, both, "own")
	if !bare.roots.Equal(pool(testCA.Cert)) {
		t.Error("a host without a CA is not verified against the system's")
	}
	if !own.roots.Equal(pool(otherCA.Cert)) {
		t.Error("a host with a CA is verified against others")
	}
	if !merged.roots.Equal(pool(testCA.Cert, otherCA.Cert)) {
		t.Error("append does not give both")
	}

	added := certtest.NewCA("added")
	write(t, "/", bundle, append(append([]byte{}, testCA.PEM...), added.PEM...))
	if got := lookupEndpoint(t, fallback, "bare"); got == bare || !got.roots.Equal(pool(testCA.Cert, added.Cert)) {
		t.Error("a CA that was added to the system's is not seen")
	}
	if got := lookupEndpoint(t, fallback, "own"); got != own {
		t.Error("a host with a CA of its own was reloaded although nothing changed for it")
	}
	if got := lookupEndpoint(t, both, "own"); got == merged || !got.roots.Equal(pool(testCA.Cert, added.Cert, otherCA.Cert)) {
		t.Error("append does not follow the system's")
	}

	third := certtest.NewCA("third")
	write(t, dir, "third.pem", third.PEM)
	if got := lookupEndpoint(t, fallback, "bare"); !got.roots.Equal(pool(testCA.Cert, added.Cert, third.Cert)) {
		t.Error("a CA in a new file of the directory is not seen")
	}
	system, err := fallback.SystemPool()
	if err != nil || !system.Equal(pool(testCA.Cert, added.Cert, third.Cert)) {
		t.Errorf("SystemPool gives another pool (%v)", err)
	}
}

func TestSystemDirectoryInPlace(t *testing.T) {
	_, dir := system(t)
	write(t, dir, "a.pem", otherCA.PEM)
	now := time.Now().Add(time.Hour)
	h := &Hosts{Roots: Roots{t.TempDir()}}
	h.disk.now = func() time.Time { return now }
	lookupEndpoint(t, h, "bare")
	added := certtest.NewCA("added with a longer name")
	write(t, dir, "a.pem", added.PEM)
	now = now.Add(deepLook)
	if got := lookupEndpoint(t, h, "bare"); !got.roots.Equal(pool(testCA.Cert, added.Cert)) {
		t.Error("a file of the directory that was rewritten is not seen")
	}
}

func TestSystemRootsOfOneHost(t *testing.T) {
	system(t)
	root := tree(t, "reg/hosts.toml", "system_roots = 'append'", "reg/ca.crt", otherCA.PEM,
		"strict/hosts.toml", "system_roots = 'fallback'", "strict/ca.crt", otherCA.PEM)
	if got := lookupEndpoint(t, &Hosts{Roots: Roots{root}}, "reg"); !got.roots.Equal(pool(testCA.Cert, otherCA.Cert)) {
		t.Error("the host's own mode does not count")
	}
	if got := lookupEndpoint(t, &Hosts{Roots: Roots{root}, SystemRoots: "append"}, "strict"); !got.roots.Equal(pool(otherCA.Cert)) {
		t.Error("the host's own mode does not count over append")
	}
}

func TestSystemBundleIsWhatGoReads(t *testing.T) {
	// Once in the life of a process crypto/x509 reads the same files. Where the
	// environment names others, another process does without it.
	if os.Getenv("SSL_CERT_FILE")+os.Getenv("SSL_CERT_DIR") != "" {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
		again.Env = append(os.Environ(), "SSL_CERT_FILE=", "SSL_CERT_DIR=")
		if out, err := again.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	want, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(Hosts).SystemPool()
	if err != nil {
		t.Fatal(err)
	}
	if !got.Equal(want) {
		t.Error("the system's roots differ from those of crypto/x509")
	}
}

func TestSystemRootsStayWhileTheyCannotBeRead(t *testing.T) {
	bundle, _ := system(t)
	dir := filepath.Dir(bundle)
	a := newAiling(dir)
	before, err := a.SystemPool()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "bundle.pem", append(testCA.PEM, '\n'))
	no := syscall.EMFILE
	a.read.Store(&no)
	if during, err := a.SystemPool(); err != nil || !during.Equal(before) {
		t.Errorf("while it cannot be read: other roots, %v", err)
	}
	a.read.Store(nil)
	write(t, dir, "bundle.pem", append(append([]byte(nil), testCA.PEM...), otherCA.PEM...))
	after, err := a.SystemPool()
	if err != nil || after.Equal(before) {
		t.Errorf("afterwards: the same roots, %v", err)
	}
}
