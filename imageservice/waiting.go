package imageservice

import (
	"context"
	"time"

	"github.com/containerd/errdefs"
)

// longestWait is how long a pull may wait for containerd to fetch a blob of it while it
// fetches those of others: its transfer service has one limit for all, which may be
// another than is known here, and some registries never go on.
const longestWait = 5 * time.Second

// watchWaiting ends the transfer of an offer, by its cancel, if it waits for others. It
// returns once ctx ends, and reports whether it has ended the transfer.
func (in *delivery) watchWaiting(ctx context.Context, o *offer) (ended bool) {
	tick := time.NewTicker(in.target.loopback.longestWait)
	defer tick.Stop()
	for seen := int64(-1); ; {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		begun, active := o.begun.Load(), o.active.Load()
		idle := active == 0 && begun == seen
		seen = begun
		if idle && in.target.loopback.requests.Load() > 0 && in.lacks(ctx, o) {
			o.cancel()
			return true
		}
	}
}

// lacks reports whether containerd has yet to fetch a blob of an offer: if not, it only
// unpacks.
func (in *delivery) lacks(ctx context.Context, o *offer) bool {
	for blob := range o.blobs {
		if _, err := in.target.client.ContentStore().Info(ctx, blob); errdefs.IsNotFound(err) {
			return true
		}
	}
	return false
}
