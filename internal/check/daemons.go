package check

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// Daemon is a daemon of this machine and the state it reports.
type Daemon struct {
	// Kind is inuse.Plugin, inuse.Gateway or inuse.ImageService.
	Kind string
	// Status is what it uses, or nil if it does not say, for the reason Why.
	Status *inuse.Status
	Why    string
}

// daemonJudge compares the check with what daemons say they use.
type daemonJudge struct{ dossier }

// byDaemons compares what daemons use with what is on disk: files they cannot read, a
// proxy of their own and an old configuration show nowhere else.
func (j daemonJudge) byDaemons() {
	for _, d := range j.Daemons {
		if d.Status == nil {
			continue
		}
		i := slices.IndexFunc(d.Status.Registries, func(reg inuse.Registry) bool { return reg.Name == j.report.Registry })
		if i < 0 {
			continue // not used yet
		}
		reg := &d.Status.Registries[i]
		if reg.Error != "" {
			j.find(Finding{Code: DaemonUnusable, Where: inuse.Title(d.Kind), Message: "cannot use any configuration for this registry: " + reg.Error, Next: "fix what it names: no restart is needed"})
		}
		j.otherFiles(d, reg)
		j.otherProxy(d, reg)
	}
}

// otherFiles finds client certificates that a daemon uses and that differ from the
// disk.
func (j daemonJudge) otherFiles(d Daemon, reg *inuse.Registry) {
	if j.inspection.Host == nil && reg.Memory == nil {
		return
	}
	onDisk := map[string]string{}
	if j.inspection.Host != nil {
		for _, ep := range j.inspection.Host.Endpoints {
			for _, id := range ep.Identities {
				if leaf := id.Leaf(); leaf != nil {
					onDisk[id.CertFile] = inuse.Serial(leaf)
				}
			}
		}
	}
	for _, e := range reg.Endpoints {
		for _, id := range e.Identities {
			if id.Certificate == nil || onDisk[id.File] == id.Serial || j.heldElsewhere(id) {
				continue
			}
			message := fmt.Sprintf("uses another certificate than the file holds now: %s, serial %s, until %s", id.Subject, id.Serial, hostdir.Day(id.NotAfter))
			next := "certsd status"
			if reg.Memory != nil {
				message += ", from memory, because the files are broken since " + inuse.Clock(reg.Memory.Since) + ": " + reg.Memory.Cause
				next = "fix the files before the next restart, after which there is nothing to fall back on"
			}
			j.find(Finding{Code: DaemonOtherFile, Where: id.File, Message: inuse.Title(d.Kind) + " " + message, Next: next})
		}
	}
}

// heldElsewhere reports whether a file outside the directories checked here, since a
// daemon may have other roots, holds what the daemon uses or cannot be read.
func (j daemonJudge) heldElsewhere(id inuse.Identity) bool {
	if slices.ContainsFunc(j.inspection.Candidates, func(c hostdir.Candidate) bool { return c.State == hostdir.Used && c.Path == filepath.Dir(id.File) }) {
		return false
	}
	f := j.files.examine(id.File)
	return errors.Is(f.Err, fs.ErrPermission) || slices.ContainsFunc(f.Certificates, func(c *x509.Certificate) bool { return inuse.Serial(c) == id.Serial })
}

// otherProxy finds endpoints that a daemon reaches through another proxy than this
// command.
func (j daemonJudge) otherProxy(d Daemon, reg *inuse.Registry) {
	if j.inspection.Host == nil {
		return
	}
	for _, e := range reg.Endpoints {
		i := slices.IndexFunc(j.inspection.Host.Endpoints, func(ep *certsd.Endpoint) bool { return ep.Host == e.Host })
		if i < 0 {
			continue
		}
		ours := inuse.ProxyOf(j.inspection.Host.Endpoints[i])
		if ours == e.Proxy {
			continue
		}
		here := "goes straight there"
		if ours != "" {
			here = "goes through the proxy " + ours
		}
		there := "goes there without a proxy"
		if e.Proxy != "" {
			there = "goes through the proxy " + e.Proxy
		}
		j.find(Finding{
			Code: DaemonProxy, Where: e.Host,
			Message: fmt.Sprintf("%s %s, and this command %s: what is said here of the server may not hold for it", inuse.Title(d.Kind), there, here),
			Next:    "set HTTPS_PROXY and NO_PROXY alike for both",
		})
	}
}

// ofWay lists the daemons that serve a way to pull; the first one present counts.
var ofWay = map[string][]string{WayCtr: {inuse.Plugin}, WayCRI: {inuse.ImageService, inuse.Plugin}}

// daemonOf returns the daemon that serves a way, or nil if none is known.
func (j daemonJudge) daemonOf(way string) *Daemon {
	for _, kind := range ofWay[way] {
		for i, d := range j.Daemons {
			if d.Kind == kind && (d.Status != nil || d.Why != "") {
				return &j.Daemons[i]
			}
		}
	}
	return nil
}

// asItRuns returns a plan as the running daemon carries it out, since it may not have
// been restarted after a change, and describes the difference.
func (j daemonJudge) asItRuns(p plan) (runs plan, but string) {
	d := j.daemonOf(p.way)
	switch {
	case d == nil || p.by != byCertsd:
		return p, ""
	case d.Status == nil && d.Kind == inuse.Plugin:
		p.by, p.dirs = byContainerd, p.stock
		return p, d.Why
	case d.Status == nil:
		return p, d.Why
	case d.Kind == inuse.Plugin && p.way == WayCRI && d.Status.CRI == inuse.CRIItself:
		p.by, p.dirs = byContainerd, p.itself
		return p, "in the running containerd, CRI pulls by itself"
	case d.Kind == inuse.ImageService:
		// The image service has roots of its own.
		p.roots = nil
	}
	return p, ""
}

// asked corrects the verdict of a way by what its daemon reports about the registry.
func (j daemonJudge) asked(way *Way) {
	d := j.daemonOf(way.Way)
	if d == nil || d.Status == nil || way.By != byCertsd {
		return
	}
	for _, reg := range d.Status.Registries {
		switch {
		case reg.Name != j.report.Registry:
		case reg.Error != "":
			way.Verdict, way.Reason = Unusable, inuse.Title(d.Kind)+" cannot use any configuration for this registry: "+reg.Error
		case reg.Memory != nil:
			way.Reason += "; " + inuse.Title(d.Kind) + " uses what it read before the files were broken"
		}
	}
}
