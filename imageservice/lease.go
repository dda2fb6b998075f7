package imageservice

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

const (
	// labelInstance marks each lease with the instance that owns it; labelProcess
	// distinguishes the leases of this process from those of one that was killed.
	labelInstance = "certsd.cri/instance"
	labelProcess  = "certsd.cri/process"
	// leaseTime is how long containerd keeps a lease that nobody removes.
	leaseTime = 24 * time.Hour
	// releaseTime bounds the removal of a lease.
	releaseTime = 10 * time.Second
)

// leaseholder creates the leases that protect the parts of an image from garbage
// collection while they arrive.
type leaseholder struct {
	client            *containerd.Client
	instance, process string
	made              *atomic.Int64
	// lives reports whether a process may still need its leases.
	lives func(process string) bool
	// left are this process's leases that could not be removed, as containerd was away.
	left *sync.Map
}

func newLeaseholder(instance string, client *containerd.Client) leaseholder {
	return leaseholder{
		client: client, instance: instance, process: rand.Text(), made: &atomic.Int64{}, left: &sync.Map{},
		lives: func(string) bool { return false },
	}
}

// hold creates a lease for all that is done with the returned context.
func (l leaseholder) hold(ctx context.Context) (context.Context, func(), error) {
	manager := l.client.LeasesService()
	l.removeLeft(ctx)
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
		// A cancelled pull must not leave a lease either.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		if err := manager.Delete(ctx, lease); err != nil {
			l.left.Store(lease.ID, lease) // for the next pull; at last it expires
		}
	}, nil
}

// removeLeft removes what earlier pulls have left.
func (l leaseholder) removeLeft(ctx context.Context) {
	l.left.Range(func(id, lease any) bool {
		left, _ := lease.(leases.Lease)
		if err := l.client.LeasesService().Delete(ctx, left); err == nil || errdefs.IsNotFound(err) {
			l.left.Delete(id)
		}
		return true
	})
}

// sweep removes the leases left by killed processes of this instance, and reports
// whether a living process has any.
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
