package migrate_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// TestCopiesGoStale holds that a renewal of the files that copies were made of is
// told, with a command that renews the copies, and a renewal of the copies is
// not.
func TestCopiesGoStale(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	docker, out := filepath.Join(dir, "docker"), filepath.Join(dir, "out")
	o := migrate.Options{Roots: certsd.Roots{docker}, Configs: []string{}, Output: out}
	source, copied := filepath.Join(docker, "reg.test"), filepath.Join(out, "reg.test")
	if err := os.MkdirAll(source, 0o755); err != nil {
		t.Fatal(err)
	}
	issue := func(dir string, ago time.Duration) {
		t.Helper()
		pair := clients.Issue(certtest.Request{CommonName: "alpha", NotBefore: time.Now().Add(-ago)})
		if err := pair.Write(dir, "client"); err != nil {
			t.Fatal(err)
		}
	}
	stale := func() []string {
		t.Helper()
		p, err := migrate.New(o)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, note := range p.Notes {
			if strings.Contains(note.Text, "is stale") {
				said = append(said, note.String())
			}
		}
		return said
	}
	if err := ca.Write(source, "ca"); err != nil {
		t.Fatal(err)
	}
	issue(source, 3*time.Hour)
	p, err := migrate.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write(); err != nil {
		t.Fatal(err)
	}
	if said := stale(); said != nil {
		t.Errorf("just written: %q", said)
	}
	issue(source, 2*time.Hour)
	want := []string{copied + "/client.cert: is stale: " + source + "/client.cert was issued later; " +
		"cp " + source + "/client.cert " + source + "/client.key " + copied + "/"}
	if said := stale(); !slices.Equal(said, want) {
		t.Errorf("after a renewal at Docker's: %q, want %q", said, want)
	}
	issue(copied, time.Hour)
	if said := stale(); said != nil {
		t.Errorf("after a renewal of the copy: %q", said)
	}
}

// TestOneOfTwoSpellings holds that the spelling which containerd looks for counts,
// and that the other one is not lost without a word.
func TestOneOfTwoSpellings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, daemon := filepath.Join(dir, "config.toml"), filepath.Join(dir, "daemon.json")
	const registry = `[plugins."io.containerd.grpc.v1.cri".registry.`
	for file, text := range map[string]string{
		config: "version = 2\n" +
			registry + "mirrors.\"Reg.test\"]\nendpoint = [\"https://m1.test\"]\n" +
			registry + "mirrors.\"reg.test\"]\nendpoint = [\"https://m2.test\"]\n" +
			registry + "configs.\"m2.test\".tls]\ninsecure_skip_verify = true\n" +
			registry + "configs.\"M2.test\".tls]\nca_file = \"/nowhere\"\n",
		daemon: `{"insecure-registries": ["Low.test:5000", "low.test:5000"]}`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := migrate.New(migrate.Options{Roots: certsd.Roots{}, Configs: []string{config, daemon}, Output: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range p.Directories {
		names = append(names, d.Name)
		if d.Name == "reg.test" && (!strings.Contains(string(d.Hosts), "m2.test") || !strings.Contains(string(d.Hosts), "skip_verify") || strings.Contains(string(d.Hosts), "m1.test")) {
			t.Errorf("hosts.toml is\n%s", d.Hosts)
		}
	}
	if want := []string{"low.test:5000", "m2.test", "reg.test"}; !slices.Equal(names, want) {
		t.Errorf("directories: %q, want %q", names, want)
	}
	var lines []int
	for _, note := range p.Notes {
		if strings.Contains(note.Text, "another spelling of "+config) {
			lines = append(lines, note.Line)
		}
	}
	if want := []int{2, 8}; !slices.Equal(lines, want) {
		t.Errorf("another spelling is noted at the lines %d, want %d", lines, want)
	}
}
