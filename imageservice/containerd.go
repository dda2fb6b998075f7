package imageservice

import (
	"context"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/certsd/containerd-certsd/resolver"
)

// namespace is the namespace of CRI's images.
const namespace = "k8s.io"

// target is the containerd that images are pulled into.
type target struct {
	*connection
	client   *containerd.Client
	content  *ingester
	settings criSettings
	hooks    hooks
	leases   leaseholder
	// node returns the node's credentials, nil for none.
	node func(ctx context.Context, host, repository string) (user, secret string, err error)
	// alive is nil without a lock file.
	alive *alive
	// facts is what containerd reports about its configuration.
	facts facts
	// unpacks keeps two pulls from fetching and unpacking the same layer.
	unpacks keyedLocks
	// loopback is where containerd fetches images itself; nil means nowhere.
	loopback *loopback
}

func newTarget(o options) (*target, error) {
	d := &target{settings: o.Settings, hooks: o.Hooks, node: o.Credentials}
	c, err := connect("containerd", o.Containerd, d.facts.forget)
	if err != nil {
		return nil, err
	}
	d.connection, d.content = c, newIngester(c)
	d.client, err = containerd.NewWithConn(c.ClientConn, containerd.WithDefaultNamespace(namespace),
		containerd.WithServices(containerd.WithContentStore(d.content)))
	if err != nil {
		c.Close()
		return nil, err
	}
	d.leases = newLeaseholder(o.Instance, d.client)
	d.showLife(o.Lock)
	d.listen(o.HostsDir)
	return d, nil
}

// showLife lets other processes see that this one is alive.
func (d *target) showLife(lock string) {
	if lock == "" {
		return
	}
	var err error
	if d.alive, err = newAlive(lock); err != nil {
		// The leases of killed processes expire by themselves.
		d.leases.lives = func(string) bool { return true }
		d.warn("the leases of killed processes are not removed, because it is not known which processes still run: %w", err)
		return
	}
	d.leases.process, d.leases.lives = d.alive.name(), d.alive.lives
}

// listen starts the registry where containerd fetches images itself.
func (d *target) listen(hosts string) {
	if hosts == "" {
		return
	}
	var err error
	if d.loopback, err = newLoopback(context.Background(), hosts, d.leases.process, d.leases.lives); err != nil {
		d.warn(onlySocket+": %w", err)
	}
}

// Close closes the connection. No pull may be under way.
func (d *target) Close() {
	d.connection.Close()
	if d.loopback != nil {
		d.loopback.Close()
	}
	if d.alive != nil {
		d.alive.close()
	}
}

// pull pulls and unpacks an image, gives it the names that CRI would, and waits until
// CRI knows it.
func (d *target) pull(ctx context.Context, hosts *resolver.Hosts, req *request) (pulledImage, error) {
	ctx = namespaces.WithNamespace(ctx, namespace)
	how, err := d.learn(ctx)
	if err != nil {
		return pulledImage{}, err
	}
	in := &delivery{target: d, hosts: hosts, request: req, how: how, node: d.node}
	if image, ok := in.there(ctx); ok {
		return image, d.known(ctx, req.names(image))
	}
	ctx, release, err := d.leases.hold(ctx)
	if err != nil {
		return pulledImage{}, err
	}
	defer release()
	return in.deliver(ctx)
}

// warn reports a problem that does not make a pull fail.
func (d *target) warn(format string, args ...any) {
	if d.hooks.OnWarning != nil {
		d.hooks.OnWarning(fmt.Errorf(format, args...))
	}
}
