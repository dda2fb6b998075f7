package hostdir

import (
	"context"
	"sync/atomic"
)

// ahead is a lookup made for a request that will follow.
type ahead struct {
	hosts *Hosts
	host  *Host
	used  atomic.Bool
}

type aheadKey struct{}

// LookupFor is [Hosts.Lookup] for a caller that needs the Host to make a request: the
// first request for this registry with the returned context uses the Host found now
// instead of looking it up again. Later requests look for changes as usual; do not keep
// the context.
func (h *Hosts) LookupFor(ctx context.Context, name string) (context.Context, *Host, error) {
	host, err := h.lookupIn(ctx, name)
	if err != nil {
		return ctx, nil, err
	}
	return context.WithValue(ctx, aheadKey{}, &ahead{hosts: h, host: host}), host, nil
}

// hostAhead returns the Host that was looked up ahead for a request, nil if none was or
// an earlier request took it.
func hostAhead(ctx context.Context, h *Hosts, registry string) *Host {
	a, _ := ctx.Value(aheadKey{}).(*ahead)
	if a == nil || a.hosts != h || a.host.Name != registry || !a.used.CompareAndSwap(false, true) {
		return nil
	}
	return a.host
}
