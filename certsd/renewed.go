package certsd

import (
	"net/http"
	"slices"
	"time"
)

// renewed is the way a request is to be made again whose certificates were all
// refused, and replaced on the disk meanwhile; nil if they were not. Those that live
// for an hour end while requests wait, or are on their way.
func (rd *round) renewed(id *Identity, o reply) *route {
	refused := o.certificateRefused() || unsigned(o.err) != nil
	if id != nil && o.status == http.StatusForbidden {
		refused = id.Invalid(time.Now()) != ""
	}
	if !refused || rd.route.renewed || rd.req.Context().Err() != nil {
		return nil
	}
	now, err := rd.transport.route(rd.route.by, rd.req)
	if err != nil || now.to.state == rd.route.to.state || slices.Equal(now.to.Identities, rd.route.to.Identities) {
		return nil
	}
	now.renewed = true
	return now
}
