package hostdir

import (
	"context"
	"sync/atomic"
)

// ahead is a lookup made for a request that follows.
type ahead struct {
	hosts *Hosts
	host  *Host
	used  atomic.Bool
}

type aheadKey struct{}

// LookupFor is [Hosts.Lookup] for a caller that needs the Host to make a
// request, in the same call: the first request made with the returned context
// for this registry takes the Host as it was found now, instead of looking a
// second time. Every further one looks for changes as always; the context is
// not for keeping.
func (h *Hosts) LookupFor(ctx context.Context, name string) (context.Context, *Host, error) {
	host, err := h.lookupIn(ctx, name)
	if err != nil {
		return ctx, nil, err
	}
	return context.WithValue(ctx, aheadKey{}, &ahead{hosts: h, host: host}), host, nil
}

// hostAhead is what was looked up ahead of a request for a registry, nil if
// nothing was, or if another request has had it.
func hostAhead(ctx context.Context, h *Hosts, registry string) *Host {
	a, _ := ctx.Value(aheadKey{}).(*ahead)
	if a == nil || a.hosts != h || a.host.Name != registry || !a.used.CompareAndSwap(false, true) {
		return nil
	}
	return a.host
}
