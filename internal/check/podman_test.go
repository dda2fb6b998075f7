package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// TestPodmansDirectories has certificates where Podman looks for them: check says
// so until they count, and migrate takes them over.
func TestPodmansDirectories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, podman := filepath.Join(dir, "certs.d"), filepath.Join(dir, "containers", "certs.d")
	write(t, filepath.Join(podman, "reg.test:5000"), files{"ca": serverCA, "client": alpha})
	write(t, filepath.Join(podman, "mirror.test"), files{"client": bravo})
	write(t, filepath.Join(podman, "alone.test"), files{"client": bravo})
	write(t, filepath.Join(own, "reg.test_5000_"), files{"ca": serverCA, "hosts.toml": "[host.\"https://mirror.test\"]\n"})
	checker := func(roots ...string) *Checker {
		return &Checker{Roots: certsd.Roots(roots), Offline: true, podman: certsd.Roots{podman, filepath.Join(dir, "none")}}
	}
	found := func(c *Checker) map[string]Finding {
		t.Helper()
		r, err := c.Registry(t.Context(), "reg.test:5000")
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]Finding{}
		for _, f := range r.Findings {
			if f.Code == PodmanDirectory {
				all[filepath.Base(f.Where)] = f
			}
		}
		return all
	}
	got := found(checker(own))
	if len(got) != 2 || !strings.HasSuffix(got["reg.test:5000"].Message, "no directory that is searched has its client.cert") || !strings.HasSuffix(got["mirror.test"].Message, "has its client.cert") {
		t.Errorf("found %v", got)
	}
	if next := got["mirror.test"].Next; !strings.Contains(next, "--root "+own+":"+podman) {
		t.Errorf("next: %s", next)
	}
	if got := found(checker(own, podman)); len(got) != 0 {
		t.Errorf("searched, too: %v", got)
	}
	report, err := checker(own).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range report.Findings {
		if f.Code == PodmanDirectory {
			all = append(all, f.Where+": "+f.Message)
		}
	}
	said := strings.Join(all, "; ")
	if !strings.HasPrefix(said, podman+": ") || !strings.HasSuffix(said, "elsewhere: alone.test, mirror.test") {
		t.Errorf("all: %s", said)
	}

	// What migrate takes over is no news any more.
	if err := os.RemoveAll(own); err != nil {
		t.Fatal(err)
	}
	plan, err := migrate.New(migrate.Options{Roots: certsd.Roots{podman}, Configs: []string{}, Output: own})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Write(); err != nil {
		t.Fatal(err)
	}
	if got := found(checker(own)); len(got) != 0 {
		t.Errorf("migrated: %v", got)
	}
}
