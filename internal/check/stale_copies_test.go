package check

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// TestCopiesAreToldStale holds that a renewal of the files that copies were made
// of is told, with a command that renews the copies: whether Docker's directory
// is searched, too, or only the one that was written.
func TestCopiesAreToldStale(t *testing.T) {
	t.Parallel()
	const registry = "reg.test:5000"
	begun := func(ago time.Duration) (*certtest.CA, *certtest.Pair) {
		at := time.Now().Add(-ago)
		return certtest.NewCA("servers"), clientCA.Issue(certtest.Request{CommonName: "alpha", NotBefore: at})
	}
	for _, tt := range []struct {
		name   string
		docker string
		roots  func(docker, out string) certsd.Roots
	}{
		{name: "both searched", docker: "reg.test:5000", roots: func(docker, out string) certsd.Roots { return certsd.Roots{out, docker} }},
		{name: "the written one alone", docker: "reg.test:5000", roots: func(_, out string) certsd.Roots { return certsd.Roots{out} }},
		{name: "in another spelling, the written one alone", docker: "reg.test_5000_", roots: func(_, out string) certsd.Roots { return certsd.Roots{out} }},
		{name: "in another spelling", docker: "reg.test_5000_", roots: func(docker, out string) certsd.Roots { return certsd.Roots{out, docker} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			docker, out := filepath.Join(dir, "docker's", "certs.d"), filepath.Join(dir, "out")
			source := filepath.Join(docker, tt.docker)
			ca, pair := begun(3 * time.Hour)
			write(t, source, files{"ca": ca, "client": pair})
			plan, err := migrate.New(migrate.Options{Roots: certsd.Roots{docker}, Configs: []string{}, Output: out})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Write(); err != nil {
				t.Fatal(err)
			}
			stale := func() []Finding {
				t.Helper()
				r, err := (&Checker{Roots: tt.roots(docker, out), Offline: true}).Registry(t.Context(), registry)
				if err != nil {
					t.Fatal(err)
				}
				var found []Finding
				for _, f := range r.Findings {
					if f.Code == CopyStale {
						found = append(found, f)
					}
				}
				return found
			}
			if found := stale(); len(found) > 0 {
				t.Errorf("just written: %+v", found)
			}
			_, pair = begun(2 * time.Hour)
			write(t, source, files{"client": pair})
			found := stale()
			if len(found) != 1 || filepath.Base(found[0].Where) != "client.cert" || !strings.HasPrefix(found[0].Where, out) ||
				!strings.Contains(found[0].Message, filepath.Join(source, "client.cert")) {
				t.Fatalf("after a renewal at Docker's: %+v", found)
			}
			_, command, _ := strings.Cut(found[0].Next, ": ")
			if output, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, output)
			}
			if found := stale(); len(found) > 0 {
				t.Errorf("after %s: %+v", command, found)
			}
			_, pair = begun(time.Hour)
			write(t, filepath.Dir(found[0].Where), files{"client": pair})
			if found := stale(); len(found) > 0 {
				t.Errorf("after a renewal of the copy: %+v", found)
			}
		})
	}
}
