package check

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// Daemon is a daemon of this machine, and what it says that it uses.
type Daemon struct {
	// Kind is inuse.Plugin, inuse.Gateway or inuse.ImageService.
	Kind string
	// Status is what it uses, nil if it does not say, for the reason Why.
	Status *inuse.Status
	Why    string
}

// daemonJudge compares with what daemons say that they use.
type daemonJudge struct{ dossier }

// byDaemons compares what daemons use with what is on the disk: files that cannot be
// read, a proxy of theirs and an old configuration are seen by nobody else.
func (j daemonJudge) byDaemons() {
	for _, d := range j.Daemons {
		if d.Status == nil {
			continue
		}
		i := slices.IndexFunc(d.Status.Registries, func(reg inuse.Registry) bool { return reg.Name == j.report.Registry })
		if i < 0 {
			continue // nobody has asked for it yet
		}
		reg := &d.Status.Registries[i]
		if reg.Error != "" {
			j.find(Finding{isWarning, DaemonUnusable, inuse.Title(d.Kind), "uses nothing for this registry: " + reg.Error, "mend what it names: nothing has to be restarted"})
		}
		j.otherFiles(d, reg)
		j.otherProxy(d, reg)
	}
}

// otherFiles finds client certificates that a daemon has otherwise than the disk.
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
				next = "mend the files before the next restart, which would find nothing to fall back on"
			}
			j.find(Finding{isWarning, DaemonOtherFile, id.File, inuse.Title(d.Kind) + " " + message, next})
		}
	}
}

// heldElsewhere reports whether a file of a directory that is not looked at here, as a
// daemon may have other roots, holds what the daemon uses, or may not be read.
func (j daemonJudge) heldElsewhere(id inuse.Identity) bool {
	if slices.ContainsFunc(j.inspection.Candidates, func(c hostdir.Candidate) bool { return c.State == hostdir.Used && c.Path == filepath.Dir(id.File) }) {
		return false
	}
	f := j.files.examine(id.File)
	return errors.Is(f.Err, fs.ErrPermission) || slices.ContainsFunc(f.Certificates, func(c *x509.Certificate) bool { return inuse.Serial(c) == id.Serial })
}

// otherProxy finds a daemon that goes to an endpoint another way than this command.
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
			isWarning, DaemonProxy, e.Host, fmt.Sprintf("%s %s, and this command %s: what is said here of the server may not hold for it", inuse.Title(d.Kind), there, here),
			"set HTTPS_PROXY and NO_PROXY alike for both",
		})
	}
}

// asked corrects the verdict of a way by what the daemon says that has it.
func (j daemonJudge) asked(way *Way) {
	kinds := map[string][]string{WayCtr: {inuse.Plugin}, WayCRI: {inuse.ImageService, inuse.Plugin}}[way.Way]
	for _, kind := range kinds {
		i := slices.IndexFunc(j.Daemons, func(d Daemon) bool { return d.Kind == kind })
		if i < 0 || way.By != byCertsd {
			continue
		}
		d := j.Daemons[i]
		switch {
		case d.Status == nil && d.Why != "":
			way.Reason = cmp.Or(strings.TrimSuffix(way.Reason, "."), "as configured") + "; but " + d.Why
		case d.Status == nil:
			continue
		case kind == inuse.Plugin && way.Way == WayCRI && d.Status.CRI == inuse.CRIItself:
			way.Reason += "; but the containerd that runs has CRI pull by itself"
		default:
			for _, reg := range d.Status.Registries {
				if reg.Name == j.report.Registry && reg.Error != "" {
					way.Verdict, way.Reason = Unusable, inuse.Title(kind)+" uses nothing for this registry: "+reg.Error
				} else if reg.Name == j.report.Registry && reg.Memory != nil {
					way.Reason += "; " + inuse.Title(kind) + " uses what it read before the files were broken"
				}
			}
		}
		return
	}
}
