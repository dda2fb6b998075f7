package hostdir

import (
	"errors"
	"slices"
	"time"
)

// From returns the Hosts that looked the host up, nil if none did.
func (h *Host) From() *Hosts { return h.from }

// Kept returns why earlier content is still used instead of the present files, nil if
// the files themselves are in use.
func (h *Host) Kept() error {
	kept, _ := h.kept()
	return errors.Join(kept...)
}

// kept returns the warnings about earlier content that stays in use, and the problems
// in them.
func (h *Host) kept() (warnings []error, problems []*Problem) {
	for _, warning := range h.Warnings {
		if p := (*Problem)(nil); errors.As(warning, &p) && p.kept {
			warnings, problems = append(warnings, warning), append(problems, p)
		}
	}
	return warnings, problems
}

// NotInUse returns the problems that keep the present content of a registry's
// directories from being used instead of earlier content.
func (h *Hosts) NotInUse(name string) []*Problem {
	c, err := h.entry(name)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.host == nil {
		return nil
	}
	_, kept := c.host.kept()
	return append(problemsIn(c.failure), kept...)
}

// problemsIn returns the problems that an error joins.
func problemsIn(err error) []*Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []*Problem
		for _, err := range joined.Unwrap() {
			problems = append(problems, problemsIn(err)...)
		}
		return problems
	}
	if p := (*Problem)(nil); errors.As(err, &p) {
		return []*Problem{p}
	}
	return nil
}

// Unusable returns the problems that keep client certificates of one of the host's
// endpoints from being presented.
func (h *Host) Unusable(e *Endpoint) []*Problem {
	var unusable []*Problem
	for _, p := range h.PairProblems(e) {
		if p.Code != PairPartlyUnusable && !p.kept {
			unusable = append(unusable, p)
		}
	}
	return unusable
}

// ByValidity splits the endpoint's identities into those that are presented at a time
// and those that are passed over: expired or not yet valid ones, as long as another is
// left.
func (e *Endpoint) ByValidity(at time.Time) (presented, passed []*Identity) {
	if !slices.ContainsFunc(e.Identities, func(id *Identity) bool { return id.Invalid(at) != "" }) {
		return e.Identities, nil
	}
	for _, id := range e.Identities {
		if id.Invalid(at) == "" {
			presented = append(presented, id)
		} else {
			passed = append(passed, id)
		}
	}
	if len(presented) == 0 {
		return e.Identities, nil
	}
	return presented, passed
}
