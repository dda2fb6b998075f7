package hostdir

import (
	"context"
	"errors"
	"time"
)

// Hooks observe what lookups of [Hosts] meet. Nil functions are not called; the
// others may be called concurrently.
type Hooks struct {
	// OnReload is called for each change of a host that was looked up before, and of
	// each change that could not be taken over. It is called by the lookup that
	// met the change, once.
	OnReload func(Reload)
	// OnWarning is called for each problem that does not keep a host from being used
	// at the first lookup of the host. One about a root that cannot be searched is
	// told once and with an empty host.
	OnWarning func(host string, problem error)
	// OnLoad is called for each lookup that met something new, the first one of a
	// host included, with the context of the request it was made for.
	OnLoad func(context.Context, Loaded)
}

// Reload is a change of what is configured for a host.
type Reload struct {
	// Host is the canonical name, Dir the directory.
	Host, Dir string
	// Changed reports whether another value is in use than before.
	Changed bool
	// Err is what could not be taken over: the last good content stays in use
	// for it as long as its files are there.
	Err error
	// Warnings are the problems that were not there before.
	Warnings []error
	// Config is what is used from now on, nil if nothing may be.
	Config *Host
}

// Loaded is a lookup that did not find everything as it was.
type Loaded struct {
	// Host is the canonical name, Dir the directory, empty for none.
	Host, Dir string
	// Config is what is used from now on: what [Hosts.Lookup] returns, or
	// [Hosts.Own] where that was called. It is nil if there is none.
	Config *Host
	// Err is what could not be used or taken over.
	Err error
	// Files is how many files were read, lists of directories included. It is
	// zero where another host's lookup has read the same ones.
	Files int
	// Start is when the lookup began.
	Start time.Time
	// From is where it was looked up.
	From *Hosts
}

// report calls the hooks.
func (h *Hosts) report(r *report) {
	var warnings []error
	for _, warning := range r.Warnings {
		about, tell := h.audience(r.Host, warning)
		switch {
		case !tell || h.Hooks.OnWarning == nil && (r.first || about == ""):
		case r.first || about == "":
			h.Hooks.OnWarning(about, warning)
		default:
			warnings = append(warnings, warning)
		}
	}
	r.Warnings = warnings
	if !r.first && !r.silent && h.Hooks.OnReload != nil {
		h.Hooks.OnReload(r.Reload)
	}
}

// audience reports whether a warning is still to be told, and about which host:
// one about a root is told once for all hosts.
func (h *Hosts) audience(host string, warning error) (string, bool) {
	var p *Problem
	if !errors.As(warning, &p) {
		return host, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rootProblems[p.File] != p {
		return host, true
	}
	if h.told[p] {
		return "", false
	}
	if h.told == nil {
		h.told = make(map[*Problem]bool)
	}
	h.told[p] = true
	return "", true
}

// loaded calls the hook for lookups that met something new.
func (h *Hosts) loaded(ctx context.Context, r *report, own bool, start time.Time) {
	if h.Hooks.OnLoad == nil {
		return
	}
	l := Loaded{Host: r.Host, Dir: r.Dir, Config: r.Config, Err: r.Err, Files: r.files, Start: start, From: h}
	if own && l.Config != nil {
		l.Config = l.Config.own
	}
	h.Hooks.OnLoad(ctx, l)
}

// report is a Reload, or the first load.
type report struct {
	Reload
	first bool
	// silent reports whether nobody needs to hear of it: the files say what they
	// said before.
	silent bool
	// files is how many files were read.
	files int
}
