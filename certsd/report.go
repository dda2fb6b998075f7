package certsd

import "errors"

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
	if !r.first && h.OnReload != nil {
		h.OnReload(r.Reload)
	}
}

// audience tells whether a warning is still to be told, and about which host:
// one about a root is told once for all hosts.
func (h *Hosts) audience(host string, warning error) (string, bool) {
	p, ok := errors.AsType[*Problem](warning)
	if !ok {
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

// report is a Reload, or the first load.
type report struct {
	Reload
	first bool
}
