package imageservice

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

const (
	// labelInstance is on each lease of ours and says whose it is; labelProcess
	// tells those of this process from those of one that was killed.
	labelInstance = "certsd.cri/instance"
	labelProcess  = "certsd.cri/process"
	// leaseTime is after what time containerd forgets a lease that nobody has
	// removed.
	leaseTime = 24 * time.Hour
	// releaseTime bounds the removal of a lease.
	releaseTime = 10 * time.Second
)

// leaseholder makes the leases that keep the parts of an image while they
// arrive.
type leaseholder struct {
	client            *containerd.Client
	instance, process string
	made              *atomic.Int64
	// lives reports whether the process of that name may still need its leases.
	lives func(process string) bool
}

func newLeaseholder(instance string, client *containerd.Client) leaseholder {
	return leaseholder{
		client: client, instance: instance, process: rand.Text(), made: &atomic.Int64{},
		lives: func(string) bool { return false },
	}
}

// hold makes a lease for what is done with the context it returns.
func (l leaseholder) hold(ctx context.Context) (context.Context, func(), error) {
	manager := l.client.LeasesService()
	lease, err := manager.Create(ctx,
		leases.WithID("certsd-cri-"+l.process+"-"+strconv.FormatInt(l.made.Add(1), 10)),
		leases.WithExpiration(leaseTime),
		leases.WithLabel(labelInstance, l.instance),
		leases.WithLabel(labelProcess, l.process),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("a lease: %w", err)
	}
	return leases.WithLease(ctx, lease.ID), func() {
		// A pull that was cancelled leaves none either.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		_ = manager.Delete(ctx, lease) // it ends by itself
	}, nil
}

// sweep removes what processes of this instance have left behind that were
// killed, and reports whether there are leases of one that lives.
func (l leaseholder) sweep(ctx context.Context) (living bool, err error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	manager := l.client.LeasesService()
	list, err := manager.List(ctx, fmt.Sprintf("labels.%q==%q", labelInstance, l.instance))
	if err != nil {
		return false, err
	}
	for _, lease := range list {
		process := lease.Labels[labelProcess]
		if process == l.process {
			continue
		}
		if l.lives(process) {
			living = true
			continue
		}
		if err := manager.Delete(ctx, lease); err != nil && !errdefs.IsNotFound(err) {
			return living, err
		}
	}
	return living, nil
}
