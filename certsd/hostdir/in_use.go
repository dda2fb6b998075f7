package hostdir

import (
	"errors"
	"slices"
	"time"
)

// From is where the host was looked up, nil if it was not.
func (h *Host) From() *Hosts { return h.from }

// Kept is why something that was read earlier is still in use in place of what
// the files hold now; nil if all is as the files say.
func (h *Host) Kept() error {
	var kept []error
	for _, warning := range h.Warnings {
		var p *Problem
		if errors.As(warning, &p) && p.kept {
			kept = append(kept, warning)
		}
	}
	return errors.Join(kept...)
}

// NotInUse are the problems for which what was read earlier of a registry's
// directories is in use, in place of what they hold now.
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
	problems := problemsIn(c.failure)
	for _, warning := range c.host.Warnings {
		if p := (*Problem)(nil); errors.As(warning, &p) && p.kept {
			problems = append(problems, p)
		}
	}
	return problems
}

// problemsIn are the problems that an error joins.
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

// Unusable are the problems because of which client certificates of one of the
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

// PassedOver says why an identity of the endpoint is not presented at a time,
// empty if it is: because it has expired or is not yet valid, and another one is
// left.
func (e *Endpoint) PassedOver(id *Identity, at time.Time) string {
	why := id.Invalid(at)
	if why == "" || !slices.ContainsFunc(e.Identities, func(other *Identity) bool { return other.Invalid(at) == "" }) {
		return ""
	}
	return why
}
