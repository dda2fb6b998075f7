package plugin

import (
	"cmp"
	"slices"

	containerd "github.com/containerd/containerd/v2/version"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// status returns a snapshot of what the plugin uses.
func (s *settings) status(cri string) *status.Status {
	return telemetry.State().Snapshot(status.Daemon{
		Kind: status.Plugin, Containerd: containerd.Version, CRI: cri,
		Roots: certsd.ParseRoots(s.config.ConfigPath), Hosts: s.allHosts(),
	})
}

// allHosts returns the hosts of each requested list of roots.
func (s *settings) allHosts() []*resolver.Hosts {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*resolver.Hosts
	for _, h := range s.hosts {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b *resolver.Hosts) int { return cmp.Compare(a.Roots.String(), b.Roots.String()) })
	return all
}

// tellVersions adds the versions to the metrics; make sets them at link time.
func tellVersions() { telemetry.Built(containerd.Revision, containerd.Version) }

// criIn reports how CRI pulls, empty without CRI. CRI must have started.
func criIn(ic *plugin.InitContext) string {
	if ic.Plugins().Get(plugins.CRIServicePlugin, "images") == nil {
		return ""
	}
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if isCRI(r) && pullsItself(r.Config) {
			return status.CRIItself
		}
	}
	return status.CRIUses
}
