package hostdir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// reloading is a registry whose directory changes under a Hosts.
type reloading struct {
	t       *testing.T
	root    string
	hosts   *Hosts
	reloads []string
	last    *Host
}

func newReloading(t *testing.T, parts ...any) *reloading {
	r := &reloading{t: t, root: tree(t, parts...)}
	r.hosts = &Hosts{Roots: Roots{r.root}, Hooks: Hooks{OnReload: func(reload Reload) {
		text := reload.Host
		if reload.Changed {
			text += " changed"
		}
		if reload.Err != nil {
			text += " error: " + r.short(reload.Err.Error())
		}
		r.reloads = append(r.reloads, text)
	}}}
	r.last = r.lookup()
	return r
}

func (r *reloading) short(text string) string { return strings.ReplaceAll(text, r.root+"/", "") }

func (r *reloading) lookup() *Host {
	r.t.Helper()
	host, err := r.hosts.Lookup("reg")
	if err != nil {
		r.t.Fatal(err)
	}
	r.last = host
	return host
}

// expect looks the registry up twice and compares: what is used now, and what
// was reported.
func (r *reloading) expect(files []string, reloads ...string) {
	r.t.Helper()
	r.reloads = nil
	host := r.lookup()
	if again := r.lookup(); again != host {
		r.t.Errorf("the lookup after the reload gives another value")
	}
	var got []string
	for _, e := range host.Endpoints {
		for _, ca := range e.CAs {
			got = append(got, filepath.Base(ca.File)+" "+ca.Certificates[0].Subject.CommonName)
		}
		for _, id := range e.Identities {
			got = append(got, id.Name+" "+id.Certificate.Leaf.Subject.CommonName)
		}
	}
	if diff := cmp.Diff(files, got); diff != "" {
		r.t.Errorf("in use (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(reloads, r.reloads); diff != "" {
		r.t.Errorf("reloads (-want +got):\n%s", diff)
	}
}

func TestReloadReplacedPair(t *testing.T) {
	t.Parallel()
	r := newReloading(t, alpha("reg")...)
	before := r.last
	write(t, r.root, "reg/alpha.cert", betaPair.CertPEM, "reg/alpha.key", betaPair.KeyPEM)
	r.expect([]string{"alpha.cert beta"}, "reg changed")
	if r.last == before {
		t.Error("the host is the same value")
	}
	if got := before.Endpoints[0].Identities[0].Certificate.Leaf.Subject.CommonName; got != "alpha" {
		t.Errorf("the old value was changed to %s", got)
	}
}

// touch gives a file another time.
func touch(t *testing.T, path string) {
	t.Helper()
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}

func TestReloadTouchedFile(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("reg"), []any{"reg/hosts.toml", "[host.m]"})...)
	before := r.last
	for _, name := range []string{"alpha.cert", "alpha.key", "hosts.toml", "."} {
		touch(t, filepath.Join(r.root, "reg", name))
		r.expect([]string{"alpha.cert alpha"})
	}
	write(t, r.root, alpha("reg")...)
	r.expect([]string{"alpha.cert alpha"})
	if r.last != before {
		t.Error("a touched file gives another value")
	}
}

func TestReloadHalfWrittenPair(t *testing.T) {
	t.Parallel()
	for about, half := range map[string]struct {
		file, content string
		cause         string
	}{
		"the new certificate with the old key": {"alpha.cert", string(betaPair.CertPEM), "the private key does not belong to the certificate"},
		"a cut certificate":                    {"alpha.cert", string(betaPair.CertPEM[:100]), "the certificate file has no certificate that can be read: line 1: BEGIN CERTIFICATE without an END: the file is cut"},
		"an emptied certificate":               {"alpha.cert", "", "the certificate file is empty"},
		"an emptied key":                       {"alpha.key", "", "the key file is empty"},
		"a cut key":                            {"alpha.key", string(betaPair.KeyPEM[:80]), "the private key cannot be read: line 1: BEGIN PRIVATE KEY without an END: the file is cut"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			r := newReloading(t, concat(alpha("reg"), beta("reg"))...)
			endpoint := r.last.Endpoints[0]
			untouched := endpoint.Identities[1]
			write(t, r.root, "reg/"+half.file, half.content)
			r.expect([]string{"alpha.cert alpha", "beta.cert beta"},
				"reg error: reg/alpha.cert: "+half.cause+"; what was last read from it stays in use")
			if r.last.Endpoints[0] != endpoint {
				t.Error("the endpoint with its connections was replaced")
			}
			// The same again is no news.
			write(t, r.root, "reg/"+half.file, half.content)
			r.expect([]string{"alpha.cert alpha", "beta.cert beta"})
			write(t, r.root, "reg/alpha.cert", gammaPair.CertPEM, "reg/alpha.key", gammaPair.KeyPEM)
			r.expect([]string{"alpha.cert gamma", "beta.cert beta"}, "reg changed")
			if r.last.Endpoints[0].Identities[1] != untouched {
				t.Error("the unchanged identity is another value")
			}
		})
	}
}

func TestReloadRemovedFiles(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("reg"), beta("reg"), []any{"reg/a.crt", testCA.PEM, "reg/b.crt", otherCA.PEM})...)
	remove(t, r.root, "reg/alpha.cert", "reg/alpha.key")
	r.expect([]string{"a.crt test CA", "b.crt other CA", "beta.cert beta"}, "reg changed")
	remove(t, r.root, "reg/b.crt")
	r.expect([]string{"a.crt test CA", "beta.cert beta"}, "reg changed")
	remove(t, r.root, "reg/beta.key")
	r.expect([]string{"a.crt test CA"}, "reg changed")
	remove(t, r.root, "reg/beta.cert", "reg/a.crt")
	r.expect(nil, "reg changed")
	remove(t, r.root, "reg")
	r.expect(nil, "reg changed")
	if r.last.Dir != "" || r.last.Own {
		t.Errorf("the host is still said to be from %s", r.last.Dir)
	}
	write(t, r.root, alpha("reg")...)
	r.expect([]string{"alpha.cert alpha"}, "reg changed")
}

func TestReloadRemovedWhileAnotherIsHalfWritten(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("reg"), beta("reg"))...)
	remove(t, r.root, "reg/alpha.cert", "reg/alpha.key")
	write(t, r.root, "reg/beta.key", "")
	r.expect([]string{"beta.cert beta"},
		"reg changed error: reg/beta.cert: the key file is empty; what was last read from it stays in use")
}

func TestReloadCA(t *testing.T) {
	t.Parallel()
	r := newReloading(t, "reg/ca.crt", testCA.PEM)
	write(t, r.root, "reg/ca.crt", testCA.PEM[:100])
	r.expect([]string{"ca.crt test CA"},
		"reg error: reg/ca.crt: unusable CA file: has no certificate that can be read: line 1: BEGIN CERTIFICATE without an END: the file is cut; what was last read from it stays in use")
	write(t, r.root, "reg/ca.crt", otherCA.PEM)
	r.expect([]string{"ca.crt other CA"}, "reg changed")
	write(t, r.root, "reg/new.crt", "")
	r.expect([]string{"ca.crt other CA"}, "reg")
	if len(r.last.Warnings) != 1 {
		t.Errorf("warnings: %v", r.last.Warnings)
	}
	// With the usable CA gone there would be none, and the system's roots
	// would take its place.
	remove(t, r.root, "reg/ca.crt")
	if host, err := r.hosts.Lookup("reg"); err == nil {
		t.Errorf("the host is usable with %v", host.Endpoints[0].CAs)
	} else if want := "registry reg: reg/new.crt: unusable CA file: is empty: replace it with a CA root in PEM, or remove it"; r.short(err.Error()) != want {
		t.Errorf("error is %s, want %s", r.short(err.Error()), want)
	}
	write(t, r.root, "reg/new.crt", testCA.PEM)
	r.expect([]string{"new.crt test CA"}, "reg changed")
}

func TestReloadUnreadable(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(alpha("reg"), beta("reg"), []any{"reg/ca.crt", testCA.PEM, "reg/hosts.toml", "server = 'https://reg'"})...)
	denied := ""
	h := &Hosts{Roots: Roots{root}}
	h.disk.readFile = func(path string) ([]byte, error) {
		if filepath.Base(path) == denied {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
		}
		return os.ReadFile(path)
	}
	var told string
	h.Hooks.OnReload = func(r Reload) { told = strings.ReplaceAll(r.Err.Error(), root+"/", "") }
	host, err := h.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, want string }{
		{"alpha.key", "reg/alpha.key: cannot be read: permission denied; what was last read from it stays in use"},
		{"ca.crt", "reg/ca.crt: cannot be read: permission denied; what was last read from it stays in use"},
		{"hosts.toml", "reg/hosts.toml: cannot read the file: permission denied; what was last read from it stays in use"},
	} {
		denied = tt.file
		touch(t, filepath.Join(root, "reg", tt.file))
		again, err := h.Lookup("reg")
		if err != nil || again.Endpoints[0] != host.Endpoints[0] {
			t.Errorf("without %s: %v, %v", tt.file, again, err)
		}
		if told != tt.want {
			t.Errorf("without %s it is told that %s\nwant %s", tt.file, told, tt.want)
		}
	}
}

func TestReloadHostsTOML(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("m"), []any{"reg/hosts.toml", "[host.m]"})...)
	write(t, r.root, "reg/hosts.toml", "[host.m")
	r.expect([]string{"alpha.cert alpha"},
		"reg error: reg/hosts.toml:1: invalid TOML: expected ']' to close table name; what was last read from it stays in use")
	write(t, r.root, "reg/hosts.toml", "")
	r.expect([]string{"alpha.cert alpha"},
		"reg error: reg/hosts.toml: is empty: remove it to use none; what was last read from it stays in use")
	mirror := r.last.Endpoints[0]
	write(t, r.root, "reg/hosts.toml", "server = 'https://up'\n[host.m]")
	r.expect([]string{"alpha.cert alpha"}, "reg changed")
	if got := r.last.Endpoints[1].Host; got != "up" {
		t.Errorf("the server is %s", got)
	}
	if r.last.Endpoints[0] != mirror {
		t.Error("the unchanged endpoint is another value")
	}
	remove(t, r.root, "reg/hosts.toml")
	r.expect(nil, "reg changed")
}

func TestReloadFilesOfHostsTOML(t *testing.T) {
	t.Parallel()
	outside := tree(t, "ca.pem", testCA.PEM, "c.pem", alphaPair.CertPEM, "k.pem", alphaPair.KeyPEM)
	r := newReloading(t, "reg/hosts.toml", "ca = '"+outside+"/ca.pem'\nclient = [['"+outside+"/c.pem', '"+outside+"/k.pem']]")
	r.expect([]string{"ca.pem test CA", "c.pem alpha"})
	write(t, outside, "ca.pem", otherCA.PEM)
	r.expect([]string{"ca.pem other CA", "c.pem alpha"}, "reg changed")
	write(t, outside, "c.pem", betaPair.CertPEM)
	r.expect([]string{"ca.pem other CA", "c.pem alpha"},
		"reg error: reg/hosts.toml:2: client: "+outside+"/c.pem: the private key does not belong to the certificate; what was last read from it stays in use")
	write(t, outside, "k.pem", betaPair.KeyPEM)
	r.expect([]string{"ca.pem other CA", "c.pem beta"}, "reg changed")
	remove(t, outside, "k.pem")
	r.expect([]string{"ca.pem other CA"}, "reg changed")
	remove(t, outside, "ca.pem")
	if _, err := r.hosts.Lookup("reg"); err == nil {
		t.Error("the host is usable without the CA that it names")
	}
}

func TestReloadSymlinkSwap(t *testing.T) {
	t.Parallel()
	// The way a Kubernetes volume is updated: the files are links through
	// ..data, which is replaced by a rename.
	r := newReloading(t, concat(
		[]any{"reg/..1/client.cert", alphaPair.CertPEM, "reg/..1/client.key", alphaPair.KeyPEM},
		[]any{"reg/..2/client.cert", betaPair.CertPEM, "reg/..2/client.key", betaPair.KeyPEM},
	)...)
	dir := filepath.Join(r.root, "reg")
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/client.cert", "client.cert")
	link("..data/client.key", "client.key")
	r.expect([]string{"client.cert alpha"}, "reg changed")
	link("..2", "..tmp")
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	r.expect([]string{"client.cert beta"}, "reg changed")
}

func TestReloadSameTimeAndSize(t *testing.T) {
	t.Parallel()
	// Two writes within one tick of the clock behind the file system look
	// alike: a young stamp is not trusted.
	root := tree(t, "reg/ca.crt", testCA.PEM)
	h, _, reads := counted(root)
	info, err := os.Stat(filepath.Join(root, "reg", "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	written := latest(info)
	h.disk.now = func() time.Time { return written }
	if _, err := h.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	*reads = 0
	if _, err := h.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	if *reads == 0 {
		t.Error("a file that was just written is not read again")
	}
	h.disk.now = func() time.Time { return written.Add(racy) }
	h.dirs.disk.now = h.disk.now
	for range 2 {
		*reads = 0
		if _, err := h.Lookup("reg"); err != nil {
			t.Fatal(err)
		}
	}
	if *reads != 0 {
		t.Error("a file of some age is read again")
	}
}

func TestReloadNewDirectoryThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	r := newReloading(t, alpha("_default")...)
	write(t, r.root, "reg/beta.cert", betaPair.CertPEM)
	r.expect([]string{"alpha.cert alpha"}, "reg error: registry reg: reg/beta.cert: no matching beta.key, and no private key in the file itself: put the private key beside it as beta.key")
	write(t, r.root, "reg/beta.key", betaPair.KeyPEM)
	r.expect([]string{"beta.cert beta"}, "reg changed")
}

func TestReloadMirrorDirectory(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("reg"), []any{"reg/hosts.toml", "[host.m]"})...)
	server := r.last.Endpoints[1]
	write(t, r.root, beta("m")...)
	r.expect([]string{"beta.cert beta", "alpha.cert alpha"}, "reg changed")
	if r.last.Endpoints[1] != server {
		t.Error("the unchanged endpoint is another value")
	}
}

func TestReloadAfterFailure(t *testing.T) {
	t.Parallel()
	root := tree(t, "reg/client.cert", alphaPair.CertPEM)
	var reloads []Reload
	h := &Hosts{Roots: Roots{root}, Hooks: Hooks{OnReload: func(r Reload) { reloads = append(reloads, r) }}}
	if _, err := h.Lookup("reg"); err == nil {
		t.Fatal("a lone certificate is usable")
	}
	write(t, root, "reg/client.key", alphaPair.KeyPEM)
	host, err := h.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	if len(host.Endpoints[0].Identities) != 1 || len(reloads) != 1 || !reloads[0].Changed {
		t.Errorf("%d identities, reloads %+v", len(host.Endpoints[0].Identities), reloads)
	}
}

func TestHooksMayLookUp(t *testing.T) {
	t.Parallel()
	root := tree(t, alpha("reg")...)
	h := &Hosts{Roots: Roots{root}}
	called := false
	h.Hooks.OnReload = func(Reload) {
		called = true
		if _, err := h.Lookup("reg"); err != nil {
			t.Error(err)
		}
	}
	for _, pair := range [][]any{nil, beta("reg")} {
		write(t, root, pair...)
		if _, err := h.Lookup("reg"); err != nil {
			t.Fatal(err)
		}
	}
	if !called {
		t.Error("the hook was not called")
	}
}

func TestReplacedEndpointIsRetired(t *testing.T) {
	t.Parallel()
	r := newReloading(t, concat(alpha("reg"), []any{"reg/hosts.toml", "[host.m]\n[host.n]"})...)
	mirror, other, server := r.last.Endpoints[0], r.last.Endpoints[1], r.last.Endpoints[2]
	write(t, r.root, concat(beta("m"), []any{"reg/hosts.toml", "[host.m]"})...)
	r.expect([]string{"beta.cert beta", "alpha.cert alpha"}, "reg changed")
	if !mirror.life.over() || !other.life.over() {
		t.Error("the connections of a replaced endpoint stay open")
	}
	if server.life.over() || r.last.Endpoints[0].life.over() {
		t.Error("the connections of an endpoint in use are closed")
	}
}

func TestEvictedHostIsRetired(t *testing.T) {
	t.Parallel()
	h := &Hosts{Roots: Roots{t.TempDir()}}
	host, err := h.Lookup("first")
	if err != nil {
		t.Fatal(err)
	}
	h.hosts.limit = 1
	if _, err := h.Lookup("second"); err != nil {
		t.Fatal(err)
	}
	if !host.Endpoints[0].life.over() {
		t.Error("the connections of a forgotten host stay open")
	}
}

// A hosts.toml that is being written for the first time does not take the
// directory out of use.
func TestReloadFirstHostsTOMLIsBroken(t *testing.T) {
	t.Parallel()
	r := newReloading(t, alpha("reg")...)
	write(t, r.root, "reg/hosts.toml", "server = 'https://m")
	r.expect([]string{"alpha.cert alpha"},
		"reg error: reg/hosts.toml:1: invalid TOML: unterminated literal string; what was last read from it stays in use")
	if len(r.last.Endpoints) != 1 || r.last.Endpoints[0].Host != "reg" {
		t.Errorf("endpoints: %v", r.last.Endpoints)
	}
	write(t, r.root, "reg/hosts.toml", "server = 'https://m'")
	if host, err := r.hosts.Lookup("reg"); err != nil || host.Endpoints[0].Host != "m" {
		t.Errorf("the whole file is not used: %+v %v", host, err)
	}
}
