//go:build linux

package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// stockVariable names the release line of the stock containerd of a script.
const stockVariable = "CERTSD_STOCK"

// stocks are the containerds that certsd cri runs in front of, with where they
// are in bin. Of two lines it is our build, with our plugins disabled.
var stocks = []struct{ line, dir, config string }{
	{"1.7", "stock/1.7", "stock-1.7.toml"},
	{"2.2", "2.2", "stock-2.toml"},
	{"2.3", "stock/2.3", "stock-2.toml"},
	{"2.4", "", "stock-2.toml"},
}

// TestStock runs every script of testdata/stock with each of the stock
// containerds, one after another: the kubelet is no small program.
func TestStock(t *testing.T) {
	requireRoot(t)
	requirePrograms(t)
	scripts, err := filepath.Glob("testdata/stock/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in testdata/stock: %v", err)
	}
	for _, stock := range stocks {
		t.Run(stock.line, func(t *testing.T) {
			for _, name := range []string{"containerd", "ctr", "containerd-shim-runc-v2"} {
				if _, err := os.Stat(filepath.Join("../bin", stock.dir, name)); err != nil {
					citest.Missing(t, err.Error()+": make clients, make build CONTAINERD="+stock.line)
				}
			}
			t.Setenv(stockVariable, stock.line)
			for _, script := range scripts {
				name := strings.TrimSuffix(filepath.Base(script), ".txtar")
				t.Run(name, func(t *testing.T) {
					t.Cleanup(func() { removeCgroups(name) })
					runOnMachine(t, script)
				})
			}
		})
	}
}

// stockDir is the directory of the stock containerd of this script, empty for
// that in bin.
func stockDir() string {
	for _, stock := range stocks {
		if stock.line == os.Getenv(stockVariable) {
			return stock.dir
		}
	}
	return ""
}

// stockConfig copies the configuration of the stock containerd into dir.
func stockConfig(dir string) error {
	for _, stock := range stocks {
		if stock.line != os.Getenv(stockVariable) {
			continue
		}
		b, err := os.ReadFile(filepath.Join("testdata/stock", stock.config))
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "stock.toml"), b, 0o644))
	}
	return copyFile(dir, "testdata/stock.toml")
}
