package resolver

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
)

// dockerPusher is the interface of containerd's docker pusher.
type dockerPusher interface {
	remotes.Pusher
	content.Ingester
}

// pusher is containerd's docker pusher with errors that list what was tried.
type pusher struct {
	inner           dockerPusher
	ref, repository string
}

var _ dockerPusher = (*pusher)(nil)

func newPusher(inner remotes.Pusher, ref, repository string) (*pusher, error) {
	d, ok := inner.(dockerPusher)
	if !ok {
		return nil, fmt.Errorf("docker's pusher is a %T, which is not a content.Ingester", inner)
	}
	return &pusher{inner: d, ref: ref, repository: repository}, nil
}

// Push implements remotes.Pusher.
func (p *pusher) Push(ctx context.Context, desc ocispec.Descriptor) (content.Writer, error) {
	ctx, trail := p.begin(ctx)
	ctx, cancel := context.WithCancel(ctx)
	w, err := p.inner.Push(ctx, desc)
	return p.writer(w, err, trail, cancel)
}

// Writer implements content.Ingester.
func (p *pusher) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	ctx, trail := p.begin(ctx)
	ctx, cancel := context.WithCancel(ctx)
	w, err := p.inner.Writer(ctx, opts...)
	return p.writer(w, err, trail, cancel)
}

func (p *pusher) begin(ctx context.Context) (context.Context, *certsd.Trail) {
	return account(withAbsence(withoutCooldown(certsd.WithRepository(discreet.Context(ctx), p.repository))))
}

func (p *pusher) writer(w content.Writer, err error, trail *certsd.Trail, cancel context.CancelFunc) (content.Writer, error) {
	if err != nil {
		cancel()
		return nil, p.explain(err, trail)
	}
	return &upload{Writer: w, pusher: p, trail: trail, cancel: cancel}, nil
}

// explain adds the trail to err, except for errors that are not failures or that
// containerd acts on.
func (p *pusher) explain(err error, trail *certsd.Trail) error {
	if errdefs.IsAlreadyExists(err) || errdefs.IsUnavailable(err) || errors.Is(err, content.ErrReset) {
		return err
	}
	return explain(err, p.ref, trail)
}

// upload explains errors of the request that the writer feeds.
type upload struct {
	content.Writer
	pusher *pusher
	trail  *certsd.Trail
	// cancel ends the request.
	cancel context.CancelFunc
}

// Close implements io.Closer. It cancels the request, which would otherwise wait for
// its body as long as the caller's context lives.
func (u *upload) Close() error {
	defer u.cancel()
	return u.Writer.Close()
}

func (u *upload) Write(b []byte) (int, error) {
	n, err := u.Writer.Write(b)
	return n, u.pusher.explain(err, u.trail)
}

func (u *upload) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	return u.pusher.explain(u.Writer.Commit(ctx, size, expected, opts...), u.trail)
}
