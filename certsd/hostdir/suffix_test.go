package hostdir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSuffixDirectories has directories whose client certificates are called
// after them.
func TestSuffixDirectories(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		one, two     []string
		host         string
		off          bool
		want         string
		own, fallsTo bool
	}{
		{name: "below the domain", one: []string{"_.example.com"}, host: "registry.example.com", want: "one/_.example.com", fallsTo: true},
		{name: "far below", one: []string{"_.example.com"}, host: "a.b.example.com", want: "one/_.example.com", fallsTo: true},
		{name: "in capitals", one: []string{"_.Example.COM"}, host: "registry.example.com", want: "one/_.Example.COM", fallsTo: true},
		{name: "not the domain itself", one: []string{"_.example.com"}, host: "example.com"},
		{name: "not what ends the same", one: []string{"_.example.com"}, host: "registry.notexample.com"},
		{name: "not without the option", one: []string{"_.example.com"}, host: "registry.example.com", off: true},
		{name: "the longest", one: []string{"_.example.com", "_.com"}, two: []string{"_.b.example.com"}, host: "a.b.example.com", want: "two/_.b.example.com", fallsTo: true},
		{name: "a longer one that says nothing", one: []string{"_.example.com"}, two: []string{"_.b.example.com/"}, host: "a.b.example.com", want: "one/_.example.com", fallsTo: true},
		{name: "an exact one in a later root", one: []string{"_.example.com"}, two: []string{"registry.example.com"}, host: "registry.example.com", want: "two/registry.example.com", own: true},
		{name: "an exact one that says nothing", one: []string{"_.example.com"}, two: []string{"registry.example.com/"}, host: "registry.example.com", want: "one/_.example.com", own: true, fallsTo: true},
		{name: "before _default", one: []string{"_default"}, two: []string{"_.example.com"}, host: "registry.example.com", want: "two/_.example.com", fallsTo: true},
		{name: "_default for others", one: []string{"_default", "_.example.com"}, host: "other.test", want: "one/_default", fallsTo: true},
		{name: "the port", one: []string{"_.example.com", "_.example.com_5000_"}, host: "registry.example.com:5000", want: "one/_.example.com_5000_", fallsTo: true},
		{name: "the port, with a colon", one: []string{"_.example.com:5000"}, host: "registry.example.com:5000", want: "one/_.example.com:5000", fallsTo: true},
		{name: "another port", one: []string{"_.example.com", "_.example.com_5001_"}, host: "registry.example.com:5000"},
		{name: "the default port", one: []string{"_.example.com"}, host: "registry.example.com:443", want: "one/_.example.com", fallsTo: true},
		{name: "the default port, named", one: []string{"_.example.com_443_"}, host: "registry.example.com", want: "one/_.example.com_443_", fallsTo: true},
		{name: "the name without a port first", one: []string{"_.example.com_443_", "_.example.com"}, host: "registry.example.com", want: "one/_.example.com", fallsTo: true},
		{name: "no address", one: []string{"_.0.0.1", "_.0.1"}, host: "127.0.0.1"},
		{name: "no name without a dot", one: []string{"_.", "_.localhost"}, host: "localhost"},
		{name: "a single label", one: []string{"_.internal"}, host: "registry.internal", want: "one/_.internal", fallsTo: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			lay := func(root string, names []string) {
				for _, name := range names {
					dir := filepath.Join(base, root, name)
					if err := os.MkdirAll(dir, 0o755); err != nil {
						t.Fatal(err)
					}
					if !strings.HasSuffix(name, "/") {
						write(t, dir, "alpha.cert", alphaPair.CertPEM, "alpha.key", alphaPair.KeyPEM)
					}
				}
			}
			lay("one", tt.one)
			lay("two", tt.two)
			h := &Hosts{Roots: Roots{filepath.Join(base, "one"), filepath.Join(base, "two")}, SuffixDirectories: !tt.off}
			host, err := h.Lookup(tt.host)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if host.Dir != "" {
				got, _ = filepath.Rel(base, host.Dir)
			}
			if got != tt.want || host.Own != tt.own || host.Fallback != tt.fallsTo {
				t.Errorf("got %q, own %t, fallback %t; want %q", got, host.Own, host.Fallback, tt.want)
			}
			if tt.want != "" && len(host.Endpoints[0].Identities) != 1 {
				t.Error("no certificate")
			}
			// It is nobody's own.
			own, err := h.Own(tt.host)
			switch {
			case err != nil:
				t.Error(err)
			case own != nil && !tt.own:
				t.Errorf("%s is its own", own.Dir)
			case own != nil && tt.fallsTo && len(own.Endpoints[0].Identities) > 0:
				t.Error("what is not its own has a certificate for it")
			}
			names, err := h.Names()
			if err != nil || len(names) != len(strings.Fields(map[bool]string{true: "registry.example.com"}[tt.own])) {
				t.Errorf("registries with a directory: %q, %v", names, err)
			}
			inspected, err := h.Inspect(tt.host)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range inspected.Candidates {
				if c.Path == filepath.Join(base, tt.want) && tt.want != "" && c.State != Used {
					t.Errorf("%s is %s", c.Path, c.State)
				}
				if strings.HasPrefix(c.For, "_.") && tt.off {
					t.Errorf("%s is a candidate", c.Path)
				}
			}
			told := 0
			for _, p := range inspected.Problems {
				if p.Code == DirectorySuffix {
					told++
				}
			}
			if (told > 0) != tt.off {
				t.Errorf("%d times told not to count", told)
			}
		})
	}
}

// TestSuffixOfAMirror: a mirror without a directory has that of its own domain.
func TestSuffixOfAMirror(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, "_.one.test/hosts.toml", "[host.'https://m.two.test']\n[host.'https://m.three.test']\n",
		"_.one.test/alpha.cert", alphaPair.CertPEM, "_.one.test/alpha.key", alphaPair.KeyPEM,
		"_.two.test/beta.cert", alphaPair.CertPEM, "_.two.test/beta.key", alphaPair.KeyPEM)
	host, err := (&Hosts{Roots: Roots{root}, SuffixDirectories: true}).Lookup("r.one.test")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range host.Endpoints {
		var names []string
		for _, id := range e.Identities {
			names = append(names, id.Name)
		}
		got = append(got, e.Host+" "+strings.Join(names, "+"))
	}
	if want := "m.two.test beta.cert,m.three.test ,r.one.test alpha.cert"; strings.Join(got, ",") != want {
		t.Errorf("got %q", got)
	}
}

// TestSuffixDirectoryComesAndGoes: a longer one counts from when it is there to
// when it is gone, and a lookup in between costs what any costs.
func TestSuffixDirectoryComesAndGoes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, "_.example.com/alpha.cert", alphaPair.CertPEM, "_.example.com/alpha.key", alphaPair.KeyPEM)
	h, stats, reads := counted(root, t.TempDir())
	h.SuffixDirectories = true
	look := func(want string) {
		t.Helper()
		host, err := h.Lookup("a.b.c.d.e.example.com")
		if err != nil || filepath.Base(host.Dir) != want {
			t.Fatalf("%v, %v; want %s", host, err, want)
		}
	}
	look("_.example.com")
	write(t, root, "_.e.example.com/alpha.cert", alphaPair.CertPEM, "_.e.example.com/alpha.key", alphaPair.KeyPEM)
	look("_.e.example.com")
	if err := os.RemoveAll(filepath.Join(root, "_.e.example.com")); err != nil {
		t.Fatal(err)
	}
	look("_.example.com")
	*stats, *reads = 0, 0
	look("_.example.com")
	if *reads != 0 || *stats > 8 {
		t.Errorf("%d reads and %d stats for an unchanged host", *reads, *stats)
	}
}
