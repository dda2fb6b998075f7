package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/check"
	"github.com/certsd/containerd-certsd/internal/tpmtest"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

// TestTheSignerIsContainerds: the settings of the daemon count, where no flag says
// otherwise.
func TestTheSignerIsContainerds(t *testing.T) {
	t.Parallel()
	root, ca := t.TempDir(), certtest.NewCA("clients")
	dir, config := filepath.Join(root, "reg.test"), filepath.Join(t.TempDir(), "config.toml")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{
		filepath.Join(dir, "alpha.key"):  []byte("pkcs11:object=alpha?module-path=/dev/null"),
		filepath.Join(dir, "alpha.cert"): ca.Client("alpha").CertPEM,
		config:                           []byte("version = 3\n[plugins.\"io.containerd.internal.v1.certsd\"]\nsigner = [\"certsd-no-helper\"]\n"),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{config: `"certsd-no-helper": executable file not found`, "": `signer = ["certsd-pkcs11"]`} {
		report, err := (&check.Checker{Roots: certsd.Roots{root}, Config: file, Offline: true}).Registry(t.Context(), "reg.test")
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(report.Findings); !strings.Contains(text, want) {
			t.Errorf("with %q: %s", file, text)
		}
	}
}

func TestAKeyOfATPMIsNamed(t *testing.T) {
	t.Parallel()
	tpm := tpmtest.Start(t)
	root, ca := t.TempDir(), certtest.NewCA("clients")
	dir := filepath.Join(root, "reg.test")
	file, public := tpm.Key(tpmtest.Options{})
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"alpha.key": file, "alpha.cert": ca.Certify("alpha", public)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
	look := func() (check.File, []check.Finding) {
		checker := &check.Checker{Roots: certsd.Roots{root}, Keys: devices.Open, Offline: true}
		report, err := checker.Registry(t.Context(), "reg.test")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Directories[0].Files {
			if filepath.Base(f.Path) == "alpha.cert" {
				return f, report.Findings
			}
		}
		t.Fatal("the certificate is not in the report")
		return check.File{}, nil
	}
	f, findings := look()
	if f.KeyDevice != "TPM "+tpm.TCTI || f.KeySigns == nil || !*f.KeySigns || f.KeyMatches == nil || !*f.KeyMatches {
		t.Errorf("got %+v, %+v", f, findings)
	}
	tpm.Stop()
	f, findings = look()
	if f.KeySigns == nil || *f.KeySigns {
		t.Errorf("it signs without a TPM: %+v", f)
	}
	for _, finding := range findings {
		if finding.Code == check.KeyDoesNotSign {
			if finding.Where != filepath.Join(dir, "alpha.key") || !strings.Contains(finding.Message, tpm.TCTI) || !strings.Contains(finding.Next, "TPM2TOOLS_TCTI") {
				t.Errorf("got %+v", finding)
			}
			return
		}
	}
	t.Errorf("got %+v", findings)
}
