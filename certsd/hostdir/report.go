package hostdir

import (
	"context"
	"errors"
	"time"
)

// report calls the hooks.
func (h *Hosts) report(r *report) {
	var warnings []error
	for _, warning := range r.Warnings {
		about, tell := h.audience(r.Host, warning)
		switch {
		case !tell || h.OnWarning == nil && (r.first || about == ""):
		case r.first || about == "":
			h.OnWarning(about, warning)
		default:
			warnings = append(warnings, warning)
		}
	}
	r.Warnings = warnings
	if !r.first && !r.silent && h.OnReload != nil {
		h.OnReload(r.Reload)
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
	if h.OnLoad == nil {
		return
	}
	l := Loaded{Host: r.Host, Dir: r.Dir, Config: r.Config, Err: r.Err, Files: r.files, Start: start, From: h}
	if own && l.Config != nil {
		l.Config = l.Config.own
	}
	h.OnLoad(ctx, l)
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
