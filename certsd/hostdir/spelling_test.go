package hostdir

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A name is the same in every spelling, of a registry and of a directory.
func TestSpellings(t *testing.T) {
	t.Parallel()
	for about, test := range map[string]struct {
		dir string
		// same are names of the registry, others of other ones.
		same, others []string
	}{
		"capitals":                {"Registry.Test:5000", []string{"Registry.Test:5000", "registry.test:5000", "REGISTRY.TEST.:05000"}, []string{"registry.test", "registry.test:5001"}},
		"capitals and underscore": {"Registry.Test_5000_", []string{"Registry.Test:5000", "registry.test:5000"}, []string{"registry.test"}},
		"small letters":           {"registry.test:5000", []string{"Registry.Test:5000", "registry.test.:5000"}, nil},
		"a dot at the end":        {"registry.test.", []string{"registry.test", "registry.test:443", "Registry.Test."}, []string{"registry.test:80"}},
		"a default port":          {"Registry.Test:443", []string{"registry.test", "registry.test:443"}, []string{"registry.test:444"}},
		"zeros before a port":     {"registry.test_05000_", []string{"registry.test:5000"}, nil},
		"an address":              {"[0:0:0:0:0:0:0:1]:5000", []string{"[::1]:5000", "[0:0:0:0:0:0:0:1]:5000", "[0::1]:5000"}, []string{"[::2]:5000", "[::1]"}},
		"an address in capitals":  {"[2001:DB8::A]_5000_", []string{"[2001:db8::a]:5000", "[2001:0db8:0::000A]:5000"}, nil},
		"a name with xn--":        {"XN--Mnchen-3ya.Example", []string{"xn--mnchen-3ya.example"}, nil},
		"Docker Hub":              {"Registry-1.Docker.io", []string{"docker.io"}, nil},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			root := tree(t, alpha(test.dir)...)
			hosts := &Hosts{Roots: Roots{root}}
			var first *Host
			for _, name := range test.same {
				host, err := hosts.Lookup(name)
				if err != nil {
					t.Fatal(err)
				}
				if !host.Own || host.Dir != filepath.Join(root, test.dir) || len(host.Endpoints[0].Identities) != 1 || len(host.Warnings) > 0 {
					t.Errorf("%s: own %t, directory %q, warnings %q", name, host.Own, host.Dir, host.Warnings)
				}
				own, err := hosts.Own(name)
				if err != nil || own == nil || len(own.Endpoints[0].Identities) != 1 {
					t.Errorf("%s: its own is %v, %v", name, own, err)
				}
				if first != nil && first.Name == host.Name && first != host {
					t.Errorf("%s gives another value than %s", name, test.same[0])
				}
				if first == nil {
					first = host
				}
			}
			for _, name := range test.others {
				if host, err := hosts.Lookup(name); err != nil || host.Own {
					t.Errorf("%s has the directory, too: %v", name, err)
				}
			}
			i, err := hosts.Inspect(test.same[0])
			if err != nil || len(i.Problems) > 0 {
				t.Errorf("the inspection finds %v, %v", i.Problems, err)
			}
		})
	}
}

// Of several spellings in one root the canonical one comes first, then those of
// the order of bytes, and it is said that there are several.
func TestSpellingsTwice(t *testing.T) {
	t.Parallel()
	root := tree(t, concat(alpha("REG:5000"), beta("Reg:5000"), alpha("reg:5000"))...)
	write(t, root, "Reg:5000/alpha.cert", betaPair.CertPEM, "Reg:5000/alpha.key", betaPair.KeyPEM)
	hosts := &Hosts{Roots: Roots{root}}
	host, err := hosts.Lookup("reg:5000")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, id := range host.Endpoints[0].Identities {
		name, _ := filepath.Rel(root, id.CertFile)
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"reg:5000/alpha.cert", "Reg:5000/beta.cert"}, got); diff != "" {
		t.Errorf("identities (-want +got):\n%s", diff)
	}
	var warnings []string
	for _, w := range host.Warnings {
		warnings = append(warnings, w.Error())
	}
	first := ": is named after the same registry as " + root + "/reg:5000, which comes first: a file there hides the one of the same name here"
	if diff := cmp.Diff([]string{root + "/REG:5000" + first, root + "/Reg:5000" + first}, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

// A directory in another spelling that comes later is seen, as is its end.
func TestSpellingAppears(t *testing.T) {
	t.Parallel()
	r := newReloading(t, alpha("reg")...)
	write(t, r.root, "REG/beta.cert", betaPair.CertPEM, "REG/beta.key", betaPair.KeyPEM)
	if host := r.lookup(); len(host.Endpoints[0].Identities) != 2 {
		t.Errorf("the other spelling is not seen: %v", host.Endpoints[0].Identities)
	}
	remove(t, r.root, "REG")
	if host := r.lookup(); len(host.Endpoints[0].Identities) != 1 {
		t.Errorf("the other spelling is still in use: %v", host.Endpoints[0].Identities)
	}
}

// The account of a request names the directory whose hosts.toml was read, also
// where that says nothing about TLS.
func TestHostsTomlAloneIsTheDirectory(t *testing.T) {
	t.Parallel()
	root := tree(t, "reg/hosts.toml", "server = 'http://reg'\n")
	host, err := (&Hosts{Roots: Roots{root}}).Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	e := host.Endpoints[0]
	if want := filepath.Join(root, "reg"); e.hostsDir != want || e.Dir != "" || e.TLSConfigured {
		t.Errorf("directory %q, with TLS settings %q, %t; want %q alone", e.hostsDir, e.Dir, e.TLSConfigured, want)
	}
}
