package certsd

import (
	"slices"
	"time"
)

// identities returns the identities to present, in alphabetical order: expired ones and
// those not yet valid only if there are no others.
func (rd *round) identities() []*Identity {
	if rd.route.at.Scheme == "http" {
		return nil
	}
	now := time.Now()
	usable, passed := rd.route.to.ByValidity(now)
	for _, id := range passed {
		why := id.Invalid(now)
		a := rd.attempt(id)
		a.Skipped = why
		rd.record(a)
		if rd.route.to.state.warnOnce(id) {
			rd.transport.warn(&PassedOverError{Host: rd.req.URL.Host, Identity: id.Name, File: id.CertFile, Reason: why})
		}
	}
	return usable
}

// first returns the identity to begin with: the known one if it still exists.
func first(ids []*Identity, known *Identity) *Identity {
	switch {
	case len(ids) == 0:
		return nil
	case known != nil && slices.Contains(ids, known):
		return known
	}
	return ids[0]
}

// inOrder puts the known identity in front.
func inOrder(ids []*Identity, known *Identity) []*Identity {
	if len(ids) == 0 || first(ids, known) == ids[0] {
		return ids
	}
	ordered := []*Identity{known}
	for _, id := range ids {
		if id != known {
			ordered = append(ordered, id)
		}
	}
	return ordered
}
