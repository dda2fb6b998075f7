package hostdir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// cachedHost is what is known about one registry.
type cachedHost struct {
	place hostname.Place

	// mu guards what follows. It is held while the directories are read.
	mu    sync.Mutex
	found *resolution
	// host is the last usable value; if err is set it must no longer be used.
	host *Host
	err  error
	// kept reports whether host is older than found, which failure keeps from being
	// used. hostsFile is the hosts.toml of host, empty for none.
	kept      bool
	failure   error
	hostsFile string
	// noSystem reports whether the system's CA roots are not used.
	noSystem bool
	// endpoints are the places of config's endpoints.
	config    *hostsFile
	endpoints []*hostname.Place
}

// refresher keeps cached hosts up to date.
type refresher struct{ *Hosts }

// refresh brings c up to date. It returns a report if something is new.
func (h refresher) refresh(c *cachedHost) *report {
	if h.unchanged(c) {
		return nil
	}
	found := finder(h).resolve(c)
	removed := c.kept && c.removed(h.disk)
	if c.found != nil && found.equal(c.found) && !removed {
		c.found.stamps = found.stamps
		return nil
	}
	if c.noSystem {
		found.system, found.systemErr = h.system.get()
	}
	first := c.found == nil
	if lost := c.lost(found); lost != nil {
		c.found = found
		return h.failed(c, lost, first)
	}
	b := builder{name: c.place.Registry, found: found, append: h.SystemRoots == AppendRoots}
	host, err := b.build()
	c.found = found
	c.noSystem = err == nil && !slices.ContainsFunc(host.all(), func(e *Endpoint) bool { return e.system != nil })
	if err != nil {
		return h.failed(c, err, first)
	}
	old, oldErr := c.host, c.failure
	c.kept, c.err, c.failure, c.hostsFile = false, nil, nil, ""
	if found.config != nil {
		c.hostsFile = filepath.Join(found.config.Path, hostsTOML)
	}
	host.lookedUp(h.Hosts)
	c.host = reuse(old, host)
	r := &report{first: first, files: found.files, Reload: Reload{
		Host: host.Name, Dir: host.Dir, Config: c.host, Changed: old == nil || oldErr != nil || !sameSettings(old, c.host),
	}}
	var kept []error
	for _, warning := range c.host.Warnings {
		if old != nil && containsText(old.Warnings, warning) {
			continue
		}
		r.Warnings = append(r.Warnings, warning)
		var p *Problem
		if errors.As(warning, &p) && p.kept {
			kept = append(kept, warning)
		}
	}
	r.Err = errors.Join(kept...)
	if old != c.host {
		retire(old, c.host)
	}
	r.silent = !r.Changed && r.Err == nil && len(r.Warnings) == 0
	return r
}

// unchanged reports whether everything on the disk looks as it did at the last lookup.
// It returns false while an older host is kept in use.
func (h refresher) unchanged(c *cachedHost) bool {
	if c.found == nil || c.kept || !h.disk.allCurrent(c.found.stamps) {
		return false
	}
	if c.noSystem {
		return true
	}
	system, err := h.system.get()
	return system == c.found.system && (err == nil) == (c.found.systemErr == nil)
}

// failed keeps the last good host, if there is one, unless one of its files was
// removed: then it must no longer be used.
func (h refresher) failed(c *cachedHost, err error, first bool) *report {
	told := c.failure != nil && c.failure.Error() == err.Error()
	c.failure, c.err = err, nil
	if c.host == nil || c.removed(h.disk) {
		retire(c.host, nil)
		told = told && c.host == nil
		c.host, c.err, c.kept = nil, err, false
	} else {
		c.kept = true
	}
	dir := ""
	if len(c.found.main) > 0 {
		dir = c.found.main[0].Path
	}
	return &report{
		first: first, silent: told, files: c.found.files,
		Reload: Reload{Host: c.place.Registry, Dir: dir, Config: c.host, Err: err},
	}
}

// lost returns the reason if a directory of the host can no longer be found although it
// was not removed.
func (c *cachedHost) lost(found *resolution) error {
	if c.host == nil {
		return nil
	}
	for _, p := range found.problems {
		below := func(path string) bool { return strings.HasPrefix(path, p.File+string(filepath.Separator)) }
		if slices.ContainsFunc(c.files(), below) {
			return p
		}
	}
	return nil
}

// files returns the files of the host.
func (c *cachedHost) files() []string {
	var files []string
	if c.hostsFile != "" {
		files = append(files, c.hostsFile)
	}
	for _, e := range c.host.all() {
		for _, ca := range e.CAs {
			files = append(files, ca.File)
		}
		for _, id := range e.Identities {
			files = append(files, id.CertFile, id.KeyFile)
		}
	}
	return files
}

// removed reports whether a file of the host is gone.
func (c *cachedHost) removed(d disk) bool {
	return slices.ContainsFunc(c.files(), func(path string) bool {
		_, err := d.Stat(path)
		return errors.Is(err, fs.ErrNotExist)
	})
}
