//go:build linux

package integration

import (
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// registryAddr is where docker-registry listens, in plain HTTP, behind the
// servers that speak TLS.
const registryAddr = "127.0.0.1:5000"

// registryConfig is for Debian's docker-registry.
const registryConfig = `version: 0.1
log:
  level: info
storage:
  filesystem:
    rootdirectory: DIR
compatibility:
  schema1:
    enabled: true
http:
  addr: ` + registryAddr + `
`

// registryCmd starts docker-registry: registry
func (r *rig) registryCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "registry")
	if len(args) != 0 {
		ts.Fatalf("usage: registry")
	}
	dir := filepath.Join(r.work, "registry")
	config, err := r.write("registry.yml", strings.ReplaceAll(registryConfig, "DIR", dir))
	ts.Check(err)
	d, err := r.start("docker-registry", "docker-registry", "serve", config)
	ts.Check(err)
	ts.Check(d.listening("tcp", registryAddr))
}
