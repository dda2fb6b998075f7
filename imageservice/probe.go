package imageservice

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// onlySocket is what it means if containerd does not fetch from the loopback registry.
const onlySocket = "images pass through containerd's socket, which takes more processor time than needed, and past its image verifiers"

// probe remembers whether containerd finds the registry: it may see other files, or have
// another loopback.
type probe struct {
	// mu is held during a probe; it guards the rest, which is about one connection to
	// containerd.
	mu         sync.Mutex
	connection int
	found      bool
	// next is when a failed probe is repeated.
	next time.Time
}

const (
	// probeTime bounds a probe, and probeAgain is the time from a failed one to the
	// next.
	probeTime  = 10 * time.Second
	probeAgain = time.Minute
	// probeRef names no image, and a server that refuses connections: a containerd that
	// does not see the directory asks nobody.
	probeRef = "127.0.0.1:1/certsd/probe:latest"
)

// reached reports whether containerd fetches from the registry. It is asked anew when it
// has been restarted.
func (d *target) reached(ctx context.Context, how configuration) bool {
	if d.loopback == nil || !how.transfer.there {
		return false
	}
	p, connection := &d.loopback.probe, how.connection
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.connection == connection && (p.found || time.Now().Before(p.next)) {
		return p.found
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(ctx, namespace), probeTime)
	defer cancel()
	found, err := d.probe(ctx)
	if !found && (errors.Is(ctx.Err(), context.Canceled) || errdefs.IsUnavailable(err)) {
		return false // that says nothing
	}
	if !found && (p.connection != connection || p.next.IsZero()) {
		d.warn(onlySocket+": containerd does not fetch from 127.0.0.1 by %s: does it run in other namespaces? %w", d.loopback.dir, err)
	}
	p.connection, p.found, p.next = connection, found, time.Now().Add(probeAgain)
	return found
}

// probe transfers an image that does not exist, and reports whether containerd has asked
// for it.
func (d *target) probe(ctx context.Context) (found bool, err error) {
	o := &offer{}
	key, withdraw := d.loopback.add(o)
	defer withdraw()
	// Nothing is stored, so the lease need not exist. Without one containerd would create
	// one, and leave it if this process is killed.
	ctx = leases.WithLease(ctx, "certsd-cri-probe")
	err = d.transfer(ctx, key, probeRef, image.NewStore(probeRef))
	return o.asked.Load(), err
}
