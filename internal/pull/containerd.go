package pull

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/internal/blobs"
	"github.com/certsd/containerd-certsd/resolver"
)

// Daemon is a containerd, with or without the plugin.
type Daemon struct {
	// Address is the path of its socket.
	Address string
	// Namespace receives the image. Empty means "default".
	Namespace string
	// Snapshotter unpacks the image. Empty means the daemon's default.
	Snapshotter string
}

// UnreachableError reports that a containerd cannot be reached.
type UnreachableError struct {
	// Address is the path of its socket.
	Address string
	// Err is the cause.
	Err error
}

// Error names the socket and the cause.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("containerd at %s: %v: is it running there, and may this user speak to it?", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// ToContainerd pulls an image into a containerd and unpacks it. A lease keeps the
// parts while they arrive. A multi-platform image stays one: the blobs of the
// selected platforms are fetched and unpacked. If all platforms are selected, only
// this machine's is unpacked.
func ToContainerd(ctx context.Context, r *Request, d Daemon) (res Result, err error) {
	d.Address = strings.TrimPrefix(d.Address, "unix://")
	if err := d.reach(ctx); err != nil {
		return res, err
	}
	if d.Namespace == "" {
		d.Namespace = namespaces.Default
	}
	client, err := containerd.New(d.Address)
	if err != nil {
		return res, &UnreachableError{Address: d.Address, Err: err}
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	ctx = namespaces.WithNamespace(ctx, d.Namespace)

	in := &delivery{client: client, daemon: d, request: r, watch: &watch{report: r.Progress, atEnd: true}}
	target, err := in.deliver(ctx)
	switch {
	case err == nil:
		return Result{Target: target, Resolved: target}, nil
	case ctx.Err() != nil:
		return res, &InterruptedError{Canceled: true, Err: context.Cause(ctx)}
	default:
		return res, ours(err)
	}
}

// reach reports at once what is wrong with a socket, while gRPC would wait for it.
func (d Daemon) reach(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", d.Address)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err
		}
		return &UnreachableError{Address: d.Address, Err: err}
	}
	return conn.Close()
}

// ours returns the resolver's own error, without the context from containerd's client
// that it includes already.
func ours(err error) error {
	var e *resolver.Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// delivery is a pull into a containerd.
type delivery struct {
	client  *containerd.Client
	daemon  Daemon
	request *Request
	watch   *watch
}

func (in *delivery) deliver(ctx context.Context) (ocispec.Descriptor, error) {
	p := in.request.Platforms
	if !p.All && len(p.Only) < 2 {
		return in.one(ctx, p.wanted()[0])
	}
	return in.several(ctx, p)
}

// one pulls and unpacks at the same time.
func (in *delivery) one(ctx context.Context, p ocispec.Platform) (ocispec.Descriptor, error) {
	image, err := in.client.Pull(ctx, in.request.Ref.String(), append(in.options(),
		containerd.WithPlatformMatcher(platforms.Only(p)),
		containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(in.daemon.Snapshotter))...)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return image.Target(), nil
}

// several pulls first and unpacks afterwards, as containerd's client requires.
func (in *delivery) several(ctx context.Context, p Platforms) (ocispec.Descriptor, error) {
	matcher := platforms.All
	if !p.All {
		matcher = platforms.Ordered(p.Only...)
	}
	image, err := in.client.Fetch(ctx, in.request.Ref.String(), append(in.options(), containerd.WithPlatformMatcher(matcher))...)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	there, err := images.Platforms(ctx, in.client.ContentStore(), image.Target)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, want := range p.wanted() {
		only := platforms.Only(want)
		if !slices.ContainsFunc(there, only.Match) {
			if p.All {
				continue
			}
			return ocispec.Descriptor{}, &MissingPlatformError{Ref: in.request.Ref.String(), Want: want, Has: formatted(there)}
		}
		if err := containerd.NewImageWithPlatform(in.client, image, only).Unpack(ctx, in.daemon.Snapshotter); err != nil {
			return ocispec.Descriptor{}, fmt.Errorf("unpack %s for %s: %w", in.request.Ref, platforms.Format(want), err)
		}
	}
	return image.Target, nil
}

func formatted(list []ocispec.Platform) []string {
	var names []string
	for _, p := range list {
		names = append(names, platforms.Format(p))
	}
	return names
}

func (in *delivery) options() []containerd.RemoteOpt {
	store := in.client.ContentStore()
	return []containerd.RemoteOpt{
		containerd.WithResolver(in.request.resolver(store, in.watch)),
		containerd.WithImageHandler(images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			in.known(ctx, store, desc)
			return nil, nil
		})),
		containerd.WithImageHandlerWrapper(func(h images.Handler) images.Handler { return blobs.Handler(h.Handle, store) }),
		containerd.WithMaxConcurrentDownloads(maxDownloads),
		containerd.WithDownloadLimiter(semaphore.NewWeighted(maxDownloads)),
	}
}

// known reports a layer that need not be fetched.
func (in *delivery) known(ctx context.Context, store content.InfoProvider, desc ocispec.Descriptor) {
	if info, err := store.Info(ctx, desc.Digest); err == nil && info.Size == desc.Size {
		in.watch.done(desc, "already there")
	}
}
