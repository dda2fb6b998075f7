package hostdir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree writes files below a new directory; a name that ends with a slash is a
// directory.
func tree(t testing.TB, parts ...any) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, parts...)
	return root
}

func write(t testing.TB, root string, parts ...any) {
	t.Helper()
	for i := 0; i < len(parts); i += 2 {
		name := parts[i].(string) //nolint:errcheck // a bug of the test
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == path {
			continue
		}
		data, ok := parts[i+1].([]byte)
		if !ok {
			data = []byte(parts[i+1].(string)) //nolint:errcheck // a bug of the test
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(t testing.TB, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// summary is a Host as text, with paths relative to the roots.
type summary struct {
	Dir       string
	Fallback  bool
	Own       bool
	Endpoints []string
	Warnings  []string
}

func summarize(host *Host, roots ...string) summary {
	short := func(text string) string {
		for i, root := range roots {
			text = strings.ReplaceAll(text, root, "/"+string(rune('A'+i)))
		}
		return text
	}
	s := summary{Dir: short(host.Dir), Fallback: host.Fallback, Own: host.Own}
	for _, e := range host.Endpoints {
		words := []string{e.Scheme + "://" + e.Host + e.Path}
		for _, ca := range e.CAs {
			words = append(words, short(ca.File))
		}
		for _, id := range e.Identities {
			words = append(words, short(id.CertFile))
		}
		for _, flag := range []struct {
			name string
			set  bool
		}{{"localhost", e.Localhost}, {"fallback", e.HTTPFallback}, {"skip", e.SkipVerify}} {
			if flag.set {
				words = append(words, "+"+flag.name)
			}
		}
		s.Endpoints = append(s.Endpoints, strings.Join(words, " "))
	}
	for _, w := range host.Warnings {
		s.Warnings = append(s.Warnings, short(w.Error()))
	}
	return s
}

func alpha(dir string) []any {
	return []any{dir + "/alpha.cert", alphaPair.CertPEM, dir + "/alpha.key", alphaPair.KeyPEM}
}

func beta(dir string) []any {
	return []any{dir + "/beta.cert", betaPair.CertPEM, dir + "/beta.key", betaPair.KeyPEM}
}

func concat(parts ...[]any) []any {
	var all []any
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about string
		a, b  []any // the two roots
		name  string
		want  summary
	}{
		{
			"without a directory a host is the registry itself", nil, nil, "reg",
			summary{Endpoints: []string{"https://reg/v2"}},
		},
		{
			"Docker's reference name has its own server", nil, nil, "docker.io",
			summary{Endpoints: []string{"https://registry-1.docker.io/v2"}},
		},
		{
			"the server's directory serves Docker's reference name", nil, alpha("registry-1.docker.io"), "docker.io",
			summary{Dir: "/B/registry-1.docker.io", Own: true, Endpoints: []string{"https://registry-1.docker.io/v2 /B/registry-1.docker.io/alpha.cert"}},
		},
		{
			"host_port_ is found", alpha("reg_5000_"), nil, "reg:5000",
			summary{Dir: "/A/reg_5000_", Own: true, Endpoints: []string{"https://reg:5000/v2 /A/reg_5000_/alpha.cert"}},
		},
		{
			"host:port is found", nil, alpha("reg:5000"), "REG.:5000",
			summary{Dir: "/B/reg:5000", Own: true, Endpoints: []string{"https://reg:5000/v2 /B/reg:5000/alpha.cert"}},
		},
		{
			"another port is another registry", alpha("reg:5000"), alpha("reg"), "reg:5001",
			summary{Endpoints: []string{"https://reg:5001/v2"}},
		},
		{
			"the default port need not be in the directory's name", alpha("reg"), nil, "reg:443",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg:443/v2 /A/reg/alpha.cert"}},
		},
		{
			"and may be", alpha("reg:443"), nil, "reg",
			summary{Dir: "/A/reg:443", Own: true, Endpoints: []string{"https://reg/v2 /A/reg:443/alpha.cert"}},
		},
		{
			"a directory in another spelling is found under that", alpha("REG:5000"), nil, "REG:5000",
			summary{Dir: "/A/REG:5000", Own: true, Endpoints: []string{"https://reg:5000/v2 /A/REG:5000/alpha.cert"}},
		},
		{
			"an IPv6 address in another spelling", alpha("[::1]:5000"), nil, "[0:0:0:0:0:0:0:1]:5000",
			summary{Dir: "/A/[::1]:5000", Own: true, Endpoints: []string{"https://[::1]:5000/v2 /A/[::1]:5000/alpha.cert"}},
		},
		{
			"_default serves the others", alpha("_default"), beta("_default"), "reg",
			summary{Dir: "/A/_default", Fallback: true, Endpoints: []string{"https://reg/v2 /A/_default/alpha.cert /B/_default/beta.cert"}},
		},
		{
			"a directory of its own in any root beats _default in any root", alpha("_default"), beta("reg"), "reg",
			summary{Dir: "/B/reg", Own: true, Endpoints: []string{"https://reg/v2 /B/reg/beta.cert"}},
		},
		{
			"an empty directory does not hide _default", concat(alpha("_default"), []any{"reg/", nil}), nil, "reg",
			summary{Dir: "/A/_default", Fallback: true, Own: true, Endpoints: []string{"https://reg/v2 /A/_default/alpha.cert"}},
		},
		{
			"nor another root's directory", concat(alpha("_default"), []any{"reg/", nil}), beta("reg"), "reg",
			summary{Dir: "/B/reg", Own: true, Endpoints: []string{"https://reg/v2 /B/reg/beta.cert"}},
		},
		{
			"an empty directory is a directory",
			[]any{"reg/", nil},
			nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2"}},
		},
		{
			"an empty hosts.toml counts as absent", concat([]any{"reg/hosts.toml", ""}, alpha("_default")), nil, "reg",
			summary{Dir: "/A/_default", Fallback: true, Own: true, Endpoints: []string{"https://reg/v2 /A/_default/alpha.cert"}},
		},
		{
			"Docker files of all roots count, in the order of their names", concat(beta("reg"), []any{"reg/z.crt", testCA.PEM}), concat(alpha("reg"), []any{"reg/a.crt", otherCA.PEM}), "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /B/reg/a.crt /A/reg/z.crt /B/reg/alpha.cert /A/reg/beta.cert"}},
		},
		{
			"a file hides the one of the same name in a later root", alpha("reg"), alpha("reg"), "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"an unusable pair matters little with a usable one in another root",
			[]any{"reg/x.cert", alphaPair.CertPEM},
			beta("reg"), "reg",
			summary{
				Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /B/reg/beta.cert"},
				Warnings: []string{"/A/reg/x.cert: no matching x.key, and no private key in the file itself"},
			},
		},
		{
			"the Docker files beside a hosts.toml count", concat([]any{"reg/hosts.toml", "server = 'https://reg'"}, alpha("reg")), nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"and those in another root",
			[]any{"reg/hosts.toml", "server = 'https://reg'"},
			alpha("reg"), "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /B/reg/alpha.cert"}},
		},
		{
			"hosts.toml is found in the second root", alpha("reg"),
			[]any{"reg/hosts.toml", "[host.m]"},
			"reg",
			summary{Dir: "/B/reg", Own: true, Endpoints: []string{"https://m/v2", "https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"the first of two hosts.toml counts",
			[]any{"reg/hosts.toml", "[host.m]"},
			[]any{"reg/hosts.toml", "[host.n]"},
			"reg",
			summary{
				Dir: "/A/reg", Own: true, Endpoints: []string{"https://m/v2", "https://reg/v2"},
				Warnings: []string{"/B/reg/hosts.toml: is not used: /A/reg/hosts.toml comes first"},
			},
		},
		{
			"an endpoint uses the directory named after it, not the registry's",
			concat([]any{"reg/hosts.toml", "[host.'https://m:5000']"}, alpha("reg")), beta("m_5000_"), "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://m:5000/v2 /B/m_5000_/beta.cert", "https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"an endpoint without a directory uses _default", concat([]any{"reg/hosts.toml", "[host.m]"}, alpha("reg"), beta("_default")), nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://m/v2 /A/_default/beta.cert", "https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"its own ca takes the place of the Docker CA, its Docker pairs stay",
			concat([]any{"reg/hosts.toml", "ca = '/nowhere/../etc/own.pem'", "reg/ca.crt", testCA.PEM}, alpha("reg")), nil, "reg",
			summary{},
		},
		{
			"what is given for the same host in another table is used",
			concat([]any{"reg/hosts.toml", "server = 'https://reg'\n[host.'https://REG']\nclient = [['alpha.cert', 'alpha.key']]"}, alpha("reg")), nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://REG/v2 /A/reg/alpha.cert", "https://reg/v2 /A/reg/alpha.cert"}},
		},
		{
			"what is given for another scheme and port of the same host is not",
			concat([]any{"reg/hosts.toml", "[host.'http://m']\n[host.'https://m']\nclient = [['alpha.cert', 'alpha.key']]\n[host.'https://m:80']"}, alpha("reg")), nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"http://m/v2", "https://m/v2 /A/reg/alpha.cert", "https://m:80/v2", "https://reg/v2"}},
		},
		{
			"nor for TLS on the same port, but plain HTTP is out of the question there",
			concat([]any{"reg/hosts.toml", "[host.'http://m:5000']\n[host.'https://m:5000']\nclient = [['alpha.cert', 'alpha.key']]"}, alpha("reg")), nil, "reg",
			summary{
				Dir: "/A/reg", Own: true, Endpoints: []string{"https://m:5000/v2", "https://m:5000/v2 /A/reg/alpha.cert", "https://reg/v2"},
				Warnings: []string{`/A/reg/hosts.toml: host."http://m:5000": says http:// for a server with TLS settings: HTTPS is used`},
			},
		},
		{
			"http:// is kept", concat([]any{"reg/hosts.toml", "[host.'http://m:5000']"}, alpha("_default")), nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"http://m:5000/v2", "https://reg/v2"}},
		},
		{
			"http:// with skip_verify may be either",
			[]any{"reg/hosts.toml", "[host.'http://m:5000']\nskip_verify = true"},
			nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://m:5000/v2 +fallback +skip", "https://reg/v2"}},
		},
		{
			"http:// with a pair is HTTPS",
			[]any{"reg/hosts.toml", "[host.'http://m:5000']"},
			alpha("m:5000"), "reg",
			summary{
				Dir: "/A/reg", Own: true, Endpoints: []string{"https://m:5000/v2 /B/m:5000/alpha.cert", "https://reg/v2"},
				Warnings: []string{`/A/reg/hosts.toml: host."http://m:5000": says http:// for a server with TLS settings: HTTPS is used`},
			},
		},
		{
			"http:// at port 80 is HTTP",
			[]any{"reg/hosts.toml", "[host.'http://m:80']\nskip_verify = true"},
			nil, "reg",
			summary{Dir: "/A/reg", Own: true, Endpoints: []string{"http://m:80/v2 +skip", "https://reg/v2"}},
		},
		{
			"this machine without a directory is left to the caller", nil, nil, "localhost:5000",
			summary{Endpoints: []string{"https://localhost:5000/v2 +localhost"}},
		},
		{
			"this machine with a directory is like any other", alpha("localhost:5000"), nil, "localhost:5000",
			summary{Dir: "/A/localhost:5000", Own: true, Endpoints: []string{"https://localhost:5000/v2 /A/localhost:5000/alpha.cert"}},
		},
		{
			"even with an empty one",
			[]any{"localhost/", nil},
			nil, "localhost",
			summary{Dir: "/A/localhost", Own: true, Endpoints: []string{"https://localhost/v2"}},
		},
		{
			"also with what _default gives", alpha("_default"), nil, "127.0.0.1:5000",
			summary{Dir: "/A/_default", Fallback: true, Endpoints: []string{"https://127.0.0.1:5000/v2 /A/_default/alpha.cert"}},
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			a, b := tree(t, tt.a...), tree(t, tt.b...)
			h := &Hosts{Roots: Roots{a, b}}
			if tt.want.Endpoints == nil {
				// The row whose hosts.toml names a file outside.
				own := filepath.Join(t.TempDir(), "own.pem")
				write(t, "/", own, otherCA.PEM)
				write(t, a, "reg/hosts.toml", "ca = '"+own+"'")
				tt.want = summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 " + own + " /A/reg/alpha.cert"}}
			}
			host, err := h.Lookup(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, summarize(host, a, b)); diff != "" {
				t.Errorf("host (-want +got):\n%s", diff)
			}
			if again, err := h.Lookup(tt.name); again != host || err != nil {
				t.Errorf("the second lookup gives %p, %v; want %p", again, err, host)
			}
		})
	}
}

func TestLookupFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		about string
		files []any
		name  string
		want  string
	}{
		{"a name that is none", nil, "a/b", `host "a/b": contains "/": give the host only, without scheme and path`},
		{
			"a hosts.toml that cannot be used does not fall through to the upstream",
			[]any{"reg/hosts.toml", "[host.m]\nskip-verify = true"},
			"reg",
			`registry reg: ROOT/reg/hosts.toml:2: host.m.skip-verify: unknown key; did you mean "skip_verify"?`,
		},
		{"one in _default", []any{"_default/hosts.toml", "="}, "reg", "registry reg: ROOT/_default/hosts.toml:1: invalid TOML: invalid character at start of key: U+003D '='"},
		{"an unusable CA", []any{"reg/ca.crt", "rubbish"}, "reg", "registry reg: ROOT/reg/ca.crt: unusable CA file: is not PEM: replace it with a CA root in PEM, or remove it"},
		{"no usable pair", []any{"reg/client.key", alphaPair.KeyPEM}, "reg", "registry reg: ROOT/reg/client.key: no matching client.cert: put the certificate beside it as client.cert, or remove the key"},
		{"no usable pair for a mirror", []any{"reg/hosts.toml", "[host.m]", "m/client.key", alphaPair.KeyPEM}, "reg", "registry reg: ROOT/m/client.key: no matching client.cert: put the certificate beside it as client.cert, or remove the key"},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			root := tree(t, tt.files...)
			h := &Hosts{Roots: Roots{root}}
			host, err := h.Lookup(tt.name)
			if err == nil || strings.ReplaceAll(err.Error(), root, "ROOT") != tt.want {
				t.Errorf("Lookup gives %v, %v\nwant %s", host, err, tt.want)
			}
			if _, again := h.Lookup(tt.name); again == nil || again.Error() != err.Error() {
				t.Errorf("the second lookup gives %v", again)
			}
		})
	}
}

func TestDockerFilesNobodyUsesMayBeBroken(t *testing.T) {
	t.Parallel()
	// A Kubernetes secret mounted as the host directory works with containerd.
	root := tree(t, "reg/tls.crt", alphaPair.CertPEM, "reg/tls.key", alphaPair.KeyPEM, "reg/old.key", "rubbish",
		"reg/hosts.toml", "ca = []\nclient = [['tls.crt', 'tls.key']]")
	host, err := (&Hosts{Roots: Roots{root}}).Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	want := summary{Dir: "/A/reg", Own: true, Endpoints: []string{"https://reg/v2 /A/reg/tls.crt"}}
	if diff := cmp.Diff(want, summarize(host, root)); diff != "" {
		t.Errorf("host (-want +got):\n%s", diff)
	}
}

func TestOwn(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(
		beta("_default"), alpha("own:5000"), []any{"empty/", nil},
		[]any{"elsewhere/hosts.toml", "server = 'https://m'"}, alpha("elsewhere"),
		[]any{"broken/ca.crt", ""},
	)...)
	h := &Hosts{Roots: Roots{root}}
	for _, tt := range []struct {
		about, name string
		want        *summary
	}{
		{"a host without a directory has nothing", "none", nil},
		{"a directory is for one port", "own", nil},
		{"a host has what its directory says", "own:5000", &summary{Dir: "/A/own:5000", Own: true, Endpoints: []string{"https://own:5000/v2 /A/own:5000/alpha.cert"}}},
		{"an empty directory says nothing, and _default is not asked", "empty", &summary{Dir: "/A/empty", Own: true, Endpoints: []string{"https://empty/v2"}}},
		{"the host itself is meant, not the server that takes its place", "elsewhere", &summary{Dir: "/A/elsewhere", Own: true, Endpoints: []string{"https://elsewhere/v2 /A/elsewhere/alpha.cert"}}},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			host, err := h.Own(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == nil && host != nil:
				t.Errorf("got %+v, want none", summarize(host, root))
			case tt.want != nil && host == nil:
				t.Errorf("got none")
			case tt.want != nil:
				if diff := cmp.Diff(*tt.want, summarize(host, root)); diff != "" {
					t.Errorf("host (-want +got):\n%s", diff)
				}
			}
			if again, _ := h.Own(tt.name); again != host {
				t.Errorf("the second call gives another value")
			}
		})
	}
	if host, err := h.Own("broken"); err == nil {
		t.Errorf("a broken directory gives %v", host)
	}
	looked, err := h.Lookup("own:5000")
	if err != nil {
		t.Fatal(err)
	}
	if own, err := h.Own("own:5000"); own != looked || err != nil {
		t.Errorf("Own gives another value than Lookup, with connections of its own (%v)", err)
	}
}

func TestOwnCaresNothingForDefault(t *testing.T) {
	t.Parallel()
	h := &Hosts{Roots: Roots{tree(t, "_default/ca.crt", "rubbish")}}
	if host, err := h.Own("other"); host != nil || err != nil {
		t.Errorf("Own gives %v, %v; want nothing", host, err)
	}
}

func TestUnreadableRoot(t *testing.T) {
	t.Parallel()
	a, b := t.TempDir(), tree(t, alpha("reg")...)
	var mu sync.Mutex
	var told []string
	h := &Hosts{Roots: Roots{a, b}, Hooks: Hooks{OnWarning: func(host string, problem error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, host+"|"+problem.Error())
	}}}
	h.disk.stat = func(path string) (fs.FileInfo, error) {
		if strings.HasPrefix(path, a+"/") {
			return nil, &fs.PathError{Op: "stat", Path: path, Err: syscall.EACCES}
		}
		return os.Stat(path)
	}
	for range 2 {
		for _, name := range []string{"reg", "other"} {
			host, err := h.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(host.Warnings) != 1 {
				t.Errorf("%s has the warnings %v", name, host.Warnings)
			}
		}
	}
	want := []string{"|" + a + ": cannot search the certs.d directory: permission denied"}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestRootThatIsNotThere(t *testing.T) {
	t.Parallel()
	h := &Hosts{Roots: Roots{t.TempDir() + "/none"}, Hooks: Hooks{OnWarning: func(_ string, problem error) { t.Errorf("warning: %v", problem) }}}
	if _, err := h.Lookup("reg"); err != nil {
		t.Error(err)
	}
}

func TestWarningsAreToldOnce(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(alpha("reg"), []any{"reg/x.key", "rubbish"})...)
	var told []string
	h := &Hosts{Roots: Roots{root}, Hooks: Hooks{OnWarning: func(host string, problem error) { told = append(told, host+"|"+problem.Error()) }}}
	for range 3 {
		if _, err := h.Lookup("reg"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"reg|" + root + "/reg/x.key: no matching x.cert"}, told); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// counted counts what a Hosts does on the disk, an hour after the last change.
func counted(roots ...string) (h *Hosts, stats, reads *int) {
	stats, reads = new(int), new(int)
	h = &Hosts{Roots: roots}
	h.disk = disk{
		stat:     func(path string) (fs.FileInfo, error) { *stats++; return os.Stat(path) },
		readFile: func(path string) ([]byte, error) { *reads++; return os.ReadFile(path) },
		readDir:  func(path string) ([]fs.DirEntry, error) { *reads++; return os.ReadDir(path) },
		now:      func() time.Time { return time.Now().Add(time.Hour) },
	}
	return h, stats, reads
}

func TestUnchangedHostReadsNothing(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(
		alpha("reg"), beta("_default"), []any{"reg/ca.crt", testCA.PEM, "reg/hosts.toml", "[host.m]"}, alpha("m"),
		[]any{"broken/ca.crt", "rubbish"},
	)...)
	h, stats, reads := counted(root, t.TempDir())
	for name, want := range map[string]int{"reg": 12, "other": 7, "broken": 6} {
		first, firstErr := h.Lookup(name)
		*stats, *reads = 0, 0
		again, err := h.Lookup(name)
		if again != first || errors.Is(err, firstErr) != true {
			t.Errorf("%s: the second lookup gives %v, %v; want %v, %v", name, again, err, first, firstErr)
		}
		if *reads != 0 {
			t.Errorf("%s: %d reads for an unchanged host", name, *reads)
		}
		if *stats > want {
			t.Errorf("%s: %d stats for an unchanged host, want %d", name, *stats, want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c lru[int]
	c.limit = 2
	made := 0
	get := func(key string) []int {
		_, evicted := c.get(key, func() int { made++; return made })
		return evicted
	}
	get("a")
	get("b")
	get("a")
	if diff := cmp.Diff([]int{2}, get("c")); diff != "" {
		t.Errorf("evicted (-want +got):\n%s", diff)
	}
	if get("a"); made != 3 || c.used.Len() != 2 {
		t.Errorf("%d values made and %d kept, want 3 and 2", made, c.used.Len())
	}
	c.remove("a")
	if get("a"); made != 4 {
		t.Errorf("the removed value is still there")
	}
}

func TestConcurrentLookups(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(alpha("reg"), beta("_default"))...)
	h := &Hosts{Roots: Roots{root}}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				if i == 0 && j%5 == 0 {
					write(t, root, "reg/ca.crt", []byte(strings.Repeat("\n", j)+string(testCA.PEM)))
				}
				if _, err := h.Lookup("reg"); err != nil && !strings.Contains(err.Error(), "is empty") {
					t.Error(err)
				}
				if _, err := h.Own("other"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOwnFailsAlone(t *testing.T) {
	t.Parallel()
	// The registry's requests go elsewhere: only who means the host itself
	// meets its broken file.
	root := tree(t, "reg/hosts.toml", "server = 'https://m'", "reg/ca.crt", "rubbish")
	h := &Hosts{Roots: Roots{root}}
	if _, err := h.Lookup("reg"); err != nil {
		t.Error(err)
	}
	want := "host reg: " + root + "/reg/ca.crt: unusable CA file: is not PEM: replace it with a CA root in PEM, or remove it"
	if host, err := h.Own("reg"); err == nil || err.Error() != want {
		t.Errorf("Own gives %v, %v; want %s", host, err, want)
	}
}
