package check

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

// TestRenamesAreTyped: what a wrong name makes of a directory, the printed
// command mends, also where there are spaces and quotes in the way.
func TestRenamesAreTyped(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]files{
		"a client certificate named as a CA": {"reg.test/client.crt": alpha.CertPEM, "reg.test/client.key": alpha.KeyPEM},
		"the names of a Kubernetes secret":   {"reg.test/tls.crt": alpha.CertPEM, "reg.test/tls.key": alpha.KeyPEM},
		"a suffix in capitals":               {"reg.test/ca.CRT": serverCA.PEM},
		"a CA named as openssl does":         {"reg.test/root.pem": serverCA.PEM},
		"almost hosts.toml":                  {"reg.test/host.toml": "server = 'https://reg.test'\n"},
		"a directory in another spelling":    {"reg.test-443/ca.crt": serverCA.PEM},
		"a directory for another port":       {"reg.test_5000_/ca.crt": serverCA.PEM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := filepath.Join(t.TempDir(), "it's a place")
			write(t, root, in)
			found := func() []Finding {
				t.Helper()
				r, err := (&Checker{Roots: certsd.Roots{root}, Offline: true}).Registry(t.Context(), "reg.test")
				if err != nil {
					t.Fatal(err)
				}
				return r.Findings
			}
			before := found()
			if len(before) == 0 {
				t.Fatal("nothing is found")
			}
			_, command, _ := strings.Cut(before[0].Next, ": ")
			if out, err := exec.CommandContext(t.Context(), "sh", "-ec", command).CombinedOutput(); err != nil || command == "" {
				t.Fatalf("%+v: %v\n%s", before[0], err, out)
			}
			if after := found(); len(after) > 0 {
				t.Errorf("after %s: %+v", command, after)
			}
		})
	}
}
