package telemetry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

var clients = certtest.NewCA("telemetry clients")

// directories are certs.d directories under observation.
type directories struct {
	t     *testing.T
	root  string
	hosts *certsd.Hosts
}

func newDirectories(t *testing.T) *directories {
	_, logger := newJournal()
	h := Hooks(logger)
	d := &directories{t: t, root: t.TempDir()}
	d.hosts = &certsd.Hosts{Roots: certsd.Roots{d.root}, Hooks: hostdir.Hooks{OnReload: h.OnReload, OnLoad: h.OnLoad}}
	return d
}

func (d *directories) pair(host, name string, expires time.Time) {
	d.t.Helper()
	dir := filepath.Join(d.root, host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := clients.Issue(certtest.Request{CommonName: name, NotAfter: expires}).Write(dir, name); err != nil {
		d.t.Fatal(err)
	}
}

func (d *directories) remove(paths ...string) {
	d.t.Helper()
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Join(d.root, path)); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *directories) lookUp(host string) {
	d.t.Helper()
	if _, err := d.hosts.Lookup(host); err != nil {
		d.t.Fatal(err)
	}
}

// expect compares the expiry dates of a host's certificates with those that are
// shown now.
func (d *directories) expect(when, host string, want map[string]time.Time) {
	d.t.Helper()
	got := map[string]float64{}
	for name, value := range gather(d.t, host) {
		if labels, ok := strings.CutPrefix(name, "certsd_identity_expiry_timestamp_seconds{host="+host+",identity="); ok {
			got[strings.TrimSuffix(labels, "}")] = value
		}
	}
	unix := map[string]float64{}
	for name, at := range want {
		unix[name] = float64(at.Unix())
	}
	if diff := cmp.Diff(unix, got); diff != "" {
		d.t.Errorf("%s: %s (-want +got):\n%s", when, host, diff)
	}
}

func TestExpiryIsOfTheCertificatesThatAreThere(t *testing.T) {
	t.Parallel()
	const host = "expiry.test"
	soon, later := time.Now().Add(time.Hour), time.Now().Add(1000*time.Hour)
	d := newDirectories(t)
	d.pair(host, "alpha", soon)
	d.pair(host, "bravo", later)
	d.expect("before a lookup", host, nil)
	d.lookUp(host)
	d.expect("none was presented", host, map[string]time.Time{"alpha.cert": soon, "bravo.cert": later})
	d.pair(host, "alpha", later)
	d.expect("one was renewed, and nobody has pulled since", host, map[string]time.Time{"alpha.cert": later, "bravo.cert": later})
	d.remove(host+"/bravo.cert", host+"/bravo.key")
	d.expect("one was removed", host, map[string]time.Time{"alpha.cert": later})
	d.pair(host, "charlie", soon)
	d.expect("one was added", host, map[string]time.Time{"alpha.cert": later, "charlie.cert": soon})
	d.remove(host)
	d.expect("the directory was removed", host, nil)
	d.pair(host, "delta", soon)
	d.lookUp(host)
	d.expect("it is back", host, map[string]time.Time{"delta.cert": soon})
}

func TestExpiryIsOfEveryHostThatWasLookedUp(t *testing.T) {
	t.Parallel()
	const stranger, mirror, tokens = "stranger.expiry.test", "mirror.expiry.test", "tokens.expiry.test"
	at := time.Now().Add(time.Hour)
	d := newDirectories(t)
	d.pair("_default", "anybody", at)
	d.pair(mirror, "mirror", at)
	d.pair(tokens, "teller", at)
	if err := os.MkdirAll(filepath.Join(d.root, "mirrored.expiry.test"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.root, "mirrored.expiry.test/hosts.toml"), []byte("[host.\"https://"+mirror+"\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.lookUp(stranger)
	d.expect("from _default", stranger, map[string]time.Time{"anybody.cert": at})
	d.lookUp("mirrored.expiry.test")
	d.expect("of a mirror", mirror, map[string]time.Time{"mirror.cert": at})
	if _, err := d.hosts.Own(tokens); err != nil {
		t.Fatal(err)
	}
	d.expect("of a token server", tokens, map[string]time.Time{"teller.cert": at})
	if _, err := d.hosts.Own("elsewhere.expiry.test"); err != nil {
		t.Fatal(err)
	}
	d.expect("_default is not for a token server", "elsewhere.expiry.test", nil)
	d.remove("_default")
	d.expect("_default is gone", stranger, nil)
}

func TestExpiryIsKeptWhileAFileIsHalfWritten(t *testing.T) {
	t.Parallel()
	const host = "torn.expiry.test"
	at := time.Now().Add(time.Hour)
	d := newDirectories(t)
	d.pair(host, "alpha", at)
	d.lookUp(host)
	if err := os.WriteFile(filepath.Join(d.root, host, "alpha.cert"), []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.expect("half written", host, map[string]time.Time{"alpha.cert": at})
}

func TestExpiriesAreBounded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "_default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := clients.Client("any").Write(filepath.Join(root, "_default"), "any"); err != nil {
		t.Fatal(err)
	}
	e := newExpiries()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: func(_ context.Context, l hostdir.Loaded) { e.use(l.Config) }}}
	for i := range maxExpiries + 10 {
		if _, err := hosts.Lookup(fmt.Sprintf("host%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(e.current()); n != maxExpiries {
		t.Errorf("%d hosts, want %d", n, maxExpiries)
	}
	// Those that others chose leave room for one that is configured.
	if err := clients.Client("own").Write(mkdirs(t, root, "own.test"), "own"); err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.Lookup("own.test"); err != nil {
		t.Fatal(err)
	}
	if n := len(e.current()); n != maxExpiries+1 {
		t.Errorf("%d hosts with one that is configured, want %d", n, maxExpiries+1)
	}
}

func mkdirs(t *testing.T, root, name string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
