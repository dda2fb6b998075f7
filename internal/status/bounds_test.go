package status_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/status"
)

// TestWhatIsKeptIsBounded: whoever may pull images chooses names, servers lead to
// others.
func TestWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"_default", "own.test"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "hosts.toml"), []byte("[host.\"https://mirror.test\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := status.New()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: s.Load}}
	lookUp := func(name string) {
		t.Helper()
		host, err := hosts.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Use(host)
	}
	lookUp("own.test")
	round := func(registry, host, repository string) {
		s.Round(certsd.Round{Registry: registry, Host: host, Repository: repository, From: hosts, Attempts: []certsd.Attempt{{Status: 200, Identity: "a.cert"}}},
			func(certsd.Attempt) string { return "200" })
	}
	for i := range 1500 {
		name := fmt.Sprintf("host%04d.test", i)
		lookUp(name)
		round(name, name, "app")
		round("own.test", "own.test", fmt.Sprintf("app%04d", i))
	}
	st := s.Snapshot(status.Daemon{Roots: certsd.Roots{root}})
	if len(st.Registries) != 1000 || len(st.Servers) != 1000 {
		t.Errorf("%d registries, %d servers", len(st.Registries), len(st.Servers))
	}
	// The one that a person has configured stays, with the repositories used last.
	last := st.Registries[len(st.Registries)-1]
	if last.Name != "own.test" || len(last.Repositories) != 100 || last.Repositories[99].Name != "app1499" {
		t.Errorf("%s with %d repositories", last.Name, len(last.Repositories))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"schema":1,"daemon":"gateway","registries":[{"name":"a\u001b[2J","endpoints":[{"identities":[{"name":"x","subject":"\u202e"}]}]}]}`)
	f.Add(`{"schema":2}`)
	f.Add(`{"schema":1,"needs":[{"code":"x","what":"\u0007"}],"work":[{"kind":"download","bytes":-1,"total":-5}],"store":{"used":-1,"limit":-1}}`)
	f.Add(`{"schema":1,"registries":[{"repositories":[{"refused":{"answers":["\n\n"]}}]}],"idle":["\u0000"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		st, err := status.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		var out strings.Builder
		if err := status.Tell(&out, []*status.Status{st}, status.DefaultColumns); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && (r < ' ' || r == 0x7f || r >= 0x80 && r <= 0x9f || r == 0x202e) {
				t.Fatalf("%U in the table of %q", r, text)
			}
		}
	})
}
