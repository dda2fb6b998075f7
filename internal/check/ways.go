package check

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
)

// The ways to pull on a machine, as in [Way].
const (
	WayCtr    = "ctr"
	WayCRI    = "cri"
	WayCertsd = "certsd"
)

// Way is one way to pull on this machine, and its verdict. The same directories may be
// enough for one and not for another: stock containerd presents one client certificate.
type Way struct {
	// Way is "ctr", "cri", or "certsd" for the command, the gateway and the image
	// service.
	Way string `json:"way"`
	// By is who asks the registry: "certsd" or "containerd".
	By string `json:"by"`
	// InUse reports whether the configuration has it: without containerd's there is
	// certsd alone.
	InUse   bool    `json:"in_use"`
	Verdict Verdict `json:"verdict"`
	Reason  string  `json:"reason"`
}

const (
	byCertsd     = "certsd"
	byContainerd = "containerd"
)

// imageServiceSocket is where "certsd cri" listens. If it exists, the kubelet uses it:
// nothing else creates it.
const imageServiceSocket = "/run/certsd/cri.sock"

// plan is one way to pull: who pulls, and from which directories.
type plan struct {
	way, by string
	// dirs finds the directory of a host as stock containerd does.
	dirs func(host string) (string, error)
	// stock is dirs for a containerd that still runs without the plugin, itself for a
	// CRI that pulls by itself.
	stock, itself func(host string) (string, error)
	// roots are sent by CRI to the plugin with each pull, and replace the plugin's own.
	roots certsd.Roots
}

// plans returns the ways to pull that a configuration of containerd offers.
func plans(config *containerdConfig, roots certsd.Roots, imageService string) []plan {
	if config == nil {
		return nil
	}
	// ctr passes the directory itself, with --hosts-dir.
	ctr := plan{way: WayCtr, by: byCertsd, stock: inRoot(cmp.Or(config.Plugins.Transfer.ConfigPath, firstOf(roots)))}
	if config.stock() {
		ctr.by, ctr.dirs = byContainerd, ctr.stock
	}
	if config.withoutCRI() {
		return []plan{ctr}
	}
	path := config.criPath()
	// The transfer service takes the whole list as one path. CRI splits it when it
	// pulls by itself.
	cri := plan{way: WayCRI, by: byCertsd, stock: inRoot(path), itself: inRoots(certsd.ParseRoots(path))}
	switch {
	case isSocket(cmp.Or(imageService, imageServiceSocket)):
	case path == "" && len(append(config.Plugins.CRI3.deprecated(), config.Plugins.CRI2.deprecated()...)) > 0:
		cri.by = byContainerd
	case len(config.criKeys()) > 0:
		cri.by, cri.dirs = byContainerd, cri.itself
	case config.stock():
		cri.by, cri.dirs = byContainerd, cri.stock
	default:
		cri.roots = certsd.ParseRoots(path)
	}
	return []plan{ctr, cri}
}

func firstOf(roots certsd.Roots) string {
	if len(roots) == 0 {
		return ""
	}
	return roots[0]
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}

// stock reports whether the stock plugins are enabled, which keeps certsd's out.
func (c *containerdConfig) stock() bool {
	return !slices.Contains(c.Disabled, replaced[0]) || !slices.Contains(c.Disabled, replaced[1])
}

// criDefault is CRI's config_path if none is configured.
const criDefault = "/etc/containerd/certs.d:/etc/docker/certs.d"

// criPath returns the list of roots that CRI uses.
func (c *containerdConfig) criPath() string {
	path := cmp.Or(c.Plugins.CRI3.Registry.ConfigPath, c.Plugins.CRI2.Registry.ConfigPath)
	if path == "" && c.Version >= 3 {
		return criDefault
	}
	return path
}

// criKeys returns the keys that make CRI pull by itself.
func (c *containerdConfig) criKeys() []string {
	keys := c.Plugins.CRI3.pullsItself()
	if c.Version < 3 {
		keys = append(keys, c.Plugins.CRI2.pullsItself()...)
	}
	return keys
}

// ways adds the verdict for each way to pull. The registry gets the worst of those in
// use.
func (r *run) ways(ctx context.Context, plans []plan) {
	v := r.report
	own := Way{Way: WayCertsd, By: byCertsd, InUse: true, Verdict: v.Verdict, Reason: v.Reason}
	stock := stockProber{dossier: r.dossier, converted: r.tried.protocol()}
	judge := daemonJudge{r.dossier}
	for _, p := range plans {
		p, but := judge.asItRuns(p)
		way := own
		way.Way = p.way
		switch {
		case r.hides():
			// The daemon runs as root, and may see more.
			way.By, way.Verdict, way.Reason = p.by, Unasked, hiddenWords
		case p.by == byCertsd && p.without(v.Directory):
			way.Verdict = Unasked
			way.Reason = fmt.Sprintf("CRI sends its own config_path, %s, with each pull, and %s is not in it: put it there, or its root into config_path", p.roots, v.Directory)
		case p.by == byCertsd:
		case p.dirs == nil:
			way.By, way.Verdict = byContainerd, Unasked
			way.Reason = "CRI pulls by its deprecated keys, which are not checked: see certsd migrate"
		case v.Verdict == Unusable:
			way.By = byContainerd
		default:
			way.By = byContainerd
			way.Verdict, way.Reason = stock.byStock(ctx, p)
		}
		if but != "" {
			way.Reason = cmp.Or(strings.TrimSuffix(way.Reason, "."), "as configured") + "; but " + but
		}
		judge.asked(&way)
		v.Ways = append(v.Ways, way)
	}
	v.Ways = append(v.Ways, own)
	for _, way := range v.Ways {
		if worse(way.Verdict) > worse(v.Verdict) {
			v.Verdict, v.Reason = way.Verdict, fmt.Sprintf("%s (%s)", way.Reason, way.Way)
		}
	}
}

// without reports whether the directory in use is in none of the roots that CRI sends.
func (p plan) without(directory string) bool {
	return len(p.roots) > 0 && directory != "" && !slices.Contains(p.roots, filepath.Dir(directory))
}

func worse(v Verdict) int {
	switch v {
	case Unusable:
		return 2
	case Refused:
		return 1
	default:
		return 0
	}
}
