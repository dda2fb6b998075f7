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
