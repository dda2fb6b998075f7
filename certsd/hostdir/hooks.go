package hostdir

import (
	"context"
	"errors"
	"time"
)

// Hooks observe what lookups of [Hosts] find. Nil functions are not called; the
// others may be called concurrently.
type Hooks struct {
	// OnReload is called for each change of a host that was looked up before,
	// including changes that could not be applied. The lookup that finds the change
	// calls it, once.
	OnReload func(Reload)
	// OnWarning is called at the first lookup of a host for each problem that does
	// not keep it from being used. A root that cannot be searched is reported once,
	// with an empty host.
	OnWarning func(host string, problem error)
	// OnLoad is called for each lookup that found something new, including the first
	// one for a host, with the context of the request that caused it.
	OnLoad func(context.Context, Loaded)
}

// Reload is a change of a host's configuration.
type Reload struct {
	// Host is the registry's canonical name, Dir its directory.
	Host, Dir string
	// Changed reports whether another value is in use than before.
	Changed bool
	// Err says what could not be applied: the last good content stays in use as long as
	// its files exist.
	Err error
	// Warnings are the new problems.
	Warnings []error
	// Config is the new configuration, nil if none may be used.
	Config *Host
}

// Loaded describes a lookup that found something new.
type Loaded struct {
	// Host is the registry's canonical name, Dir its directory, empty for none.
	Host, Dir string
	// Config is the new configuration: the result of [Hosts.Lookup], or of [Hosts.Own]
	// if that was called. It is nil for none.
	Config *Host
	// Err says what could not be used or applied.
	Err error
	// Files is the number of files read, lists of directories included. It is zero if
	// another host's lookup had already read them.
	Files int
	// Start is when the lookup began.
	Start time.Time
	// From is the Hosts that made the lookup.
	From *Hosts
}

// announcer calls the hooks with the findings of a lookup.
type announcer struct{ *Hosts }

// report calls OnReload and OnWarning.
func (h announcer) report(r *report) {
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

// audience reports whether a warning must still be reported, and for which host: a
// warning about a root is reported once for all hosts.
func (h announcer) audience(host string, warning error) (string, bool) {
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

// loaded calls OnLoad.
func (h announcer) loaded(ctx context.Context, r *report, own bool, start time.Time) {
	if h.Hooks.OnLoad == nil {
		return
	}
	l := Loaded{Host: r.Host, Dir: r.Dir, Config: r.Config, Err: r.Err, Files: r.files, Start: start, From: h.Hosts}
	if own && l.Config != nil {
		l.Config = l.Config.own
	}
	h.Hooks.OnLoad(ctx, l)
}

// report is a Reload, or the first load.
type report struct {
	Reload
	first bool
	// silent reports whether there is nothing to report: the files configure the same
	// as before.
	silent bool
	// files is the number of files read.
	files int
}
