package status

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestALookCostsNoLookUpForEachCertificate: of very many registries some are looked up,
// the words for the rest are those of the last look, and nothing is kept of what is no
// more.
func TestALookCostsNoLookUpForEachCertificate(t *testing.T) {
	t.Parallel()
	const registries, looks = 30, 10
	root := t.TempDir()
	ca := certtest.NewCA("clients")
	s := New()
	s.looks = looks
	clock := time.Now()
	s.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: s.Load}}
	write := func(i int, name string) {
		t.Helper()
		dir := filepath.Join(root, fmt.Sprintf("registry%02d.test", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := ca.Issue(certtest.Request{CommonName: name, NotAfter: time.Now().AddDate(1, 0, 0)}).Write(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range registries {
		for _, name := range []string{"alpha", "bravo", "charlie"} {
			write(i, name)
		}
		if _, err := hosts.Lookup(fmt.Sprintf("registry%02d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	look := func() (st *Status, looked int) {
		t.Helper()
		before := clock
		st = s.Snapshot(Daemon{Roots: hosts.Roots})
		for _, r := range s.registries {
			if r.looked.After(before) {
				looked++
			}
		}
		return st, looked
	}
	// At the first look all are due, as nothing is known of them.
	if _, n := look(); n != registries {
		t.Errorf("%d of %d are looked up first", n, registries)
	}
	last, _ := look()
	for range 5 {
		st, n := look()
		if n != looks {
			t.Errorf("%d registries are looked up, and not %d", n, looks)
		}
		for i, r := range st.Registries {
			// The words themselves, not some that are alike.
			if r.Endpoints[0].Identities[0].Certificate != last.Registries[i].Endpoints[0].Identities[0].Certificate {
				t.Fatalf("%s: the certificate was described anew though nothing has changed", r.Name)
			}
		}
	}
	for round := range 20 {
		for i := range registries {
			write(i, "alpha")
			if _, err := hosts.Lookup(fmt.Sprintf("registry%02d.test", i)); err != nil {
				t.Fatal(err)
			}
		}
		look()
		if hosts, certificates := len(s.descriptions.hosts.before), len(s.descriptions.certificates.before); hosts != registries || certificates > 3*registries {
			t.Fatalf("round %d: %d hosts and %d certificates are described and kept", round, hosts, certificates)
		}
	}
	if len(s.descriptions.hosts.now)+len(s.descriptions.certificates.now) != 0 {
		t.Error("what was described for the last look counts for the next one")
	}
}

// TestWhatWasLookedUpByAPullIsNotLookedUpAgain: at the first look it is known already;
// where something is new since it comes first.
func TestWhatWasLookedUpByAPullIsNotLookedUpAgain(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	ca := certtest.NewCA("clients")
	s := New()
	s.looks = 1
	clock := time.Now()
	s.now = func() time.Time { clock = clock.Add(time.Second); return clock }
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: s.Load}}
	pull := func(name string) {
		t.Helper()
		host, err := hosts.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Use(host)
	}
	names := []string{"alpha.test", "bravo.test", "charlie.test"}
	for _, name := range names {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := ca.Issue(certtest.Request{CommonName: name, NotAfter: time.Now().AddDate(1, 0, 0)}).Write(dir, "client"); err != nil {
			t.Fatal(err)
		}
		pull(name)
	}
	due := func(want ...string) {
		t.Helper()
		var got []string
		for _, k := range s.due() {
			got = append(got, k.name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("it is the turn of %v, and not of %v", got, want)
		}
	}
	due("alpha.test")
	if st := s.Snapshot(Daemon{Roots: hosts.Roots}); len(st.Registries) != len(names) || st.Registries[2].Endpoints[0].Identities[0].Subject != "CN=charlie.test" {
		t.Errorf("%+v", st.Registries)
	}
	due("bravo.test")
	if err := os.WriteFile(filepath.Join(root, "charlie.test", "client.cert"), []byte("-----BEGIN CERT"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := hosts.Lookup("charlie.test"); err != nil {
		t.Fatal(err)
	}
	due("charlie.test")
}
