package check

import (
	"bytes"
	"crypto/tls"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clog "github.com/containerd/log"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what would be logged

	"github.com/certsd/containerd-certsd/certsd"
)

// TestHostsFileThatStockPassesOver: what containerd's own reader only logs is a
// finding, whose next step mends it, and no line of the log.
func TestHostsFileThatStockPassesOver(t *testing.T) {
	t.Parallel()
	reg := server{auth: tls.RequestClientCert}.start(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "certs.d")
	write(t, root, of(reg, files{"roots.pem": serverCA.PEM, "hosts.toml": "\ufeffserver = 'https://" + reg + "'\nca = 'roots.pem'\n"}))
	write(t, dir, files{"config.toml": "version = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '" + root + "'\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '" + root + "'\n"})
	var logged bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&logged)
	ctx := clog.WithLogger(t.Context(), logrus.NewEntry(logger))
	c := &Checker{Roots: certsd.Roots{root}, Config: filepath.Join(dir, "config.toml"), ImageService: "/none"}
	r, err := c.Registry(ctx, reg)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Code == StockHostsFile })
	if i < 0 || !strings.HasSuffix(r.Findings[i].Where, "/hosts.toml") || !strings.Contains(r.Findings[i].Message, "byte order mark") {
		t.Fatalf("it finds %+v", r.Findings)
	}
	if way := r.Ways[0]; way.Verdict != Refused || !strings.Contains(way.Reason, "without its hosts.toml, and at ") || r.Verdict != Refused {
		t.Errorf("the verdict for ctr is %+v", way)
	}
	if logged.Len() > 0 {
		t.Errorf("it is logged: %s", &logged)
	}
	_, command, _ := strings.Cut(r.Findings[i].Next, ": ")
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	c = &Checker{Roots: c.Roots, Config: c.Config, ImageService: c.ImageService}
	if r, err = c.Registry(ctx, reg); err != nil || r.Verdict != Works {
		t.Errorf("after %s: %v, %s: %s\n%+v", command, err, r.Verdict, r.Reason, r.Findings)
	}
}

// TestWaysOfAnUnusableDirectory: who asks is said also where nobody can.
func TestWaysOfAnUnusableDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "certs.d")
	write(t, filepath.Join(root, "reg.test"), files{"hosts.toml": "sever = 1\n"})
	write(t, dir, files{"config.toml": "version = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '" + root + "'\n"})
	r, err := (&Checker{Roots: certsd.Roots{root}, Config: filepath.Join(dir, "config.toml"), ImageService: "/none"}).Registry(t.Context(), "reg.test")
	if err != nil {
		t.Fatal(err)
	}
	if way := r.Ways[0]; way.Way != WayCtr || way.By != byContainerd || way.Verdict != Unusable {
		t.Errorf("%+v", way)
	}
}
