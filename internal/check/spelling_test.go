package check

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// TestDirectoryThatIsThere holds that nobody is told to create a directory that
// there is, in whatever spelling, when it says nothing about TLS.
func TestDirectoryThatIsThere(t *testing.T) {
	t.Parallel()
	reg, root := server{auth: tls.RequireAndVerifyClientCert}.start(t), t.TempDir()
	for name, in := range map[string]files{"hosts.toml": {"hosts.toml": "server = 'https://" + reg + "'\n"}, "empty": {"": nil}} {
		dir := filepath.Join(root, name, reg)
		write(t, dir, in)
		r := run1(t, &Checker{}, filepath.Join(root, name), reg)
		advised := false
		for _, f := range r.Findings {
			if strings.Contains(f.Message, "no root has") || strings.Contains(f.Next, "create") || strings.Contains(f.Next, hostname.ToCreate(reg)) {
				t.Errorf("%s: it finds %+v", name, f)
			}
			advised = advised || strings.Contains(f.Message+f.Next, dir)
		}
		if !advised {
			t.Errorf("%s: %s is not named in %+v", name, dir, r.Findings)
		}
	}
}
