package hostdir

import (
	"errors"
	"slices"
	"time"
)

// From returns where the host was looked up, nil if it was not.
func (h *Host) From() *Hosts { return h.from }

// Kept returns why something that was read earlier is still used instead of the
// present files; nil if everything is as the files say.
func (h *Host) Kept() error {
	kept, _ := h.kept()
	return errors.Join(kept...)
}

// kept returns the warnings for which that is so, and the problems in them.
func (h *Host) kept() (warnings []error, problems []*Problem) {
	for _, warning := range h.Warnings {
		if p := (*Problem)(nil); errors.As(warning, &p) && p.kept {
			warnings, problems = append(warnings, warning), append(problems, p)
		}
	}
	return warnings, problems
}

// NotInUse returns the problems because of which what was read earlier from a
// registry's directories is used instead of their present content.
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

// Unusable returns the problems because of which client certificates of one of the
// host's endpoints cannot be presented.
func (h *Host) Unusable(e *Endpoint) []*Problem {
	var unusable []*Problem
	for _, p := range h.PairProblems(e) {
		if p.Code != PairPartlyUnusable && !p.kept {
			unusable = append(unusable, p)
		}
	}
	return unusable
}

// ByValidity splits the identities of the endpoint into those that are presented at
// a time and those that are passed over: expired ones, and those not yet valid, while
// another one is left.
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
