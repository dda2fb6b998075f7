package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// maxResets is how often an upload is restarted because its request had to be
// repeated: for a token that expired, or a registry that is busy.
const maxResets = 8

// target receives the images.
type target struct {
	repository reference.Spec
	resolver   *resolver.Resolver
	tracker    docker.StatusTracker
	// reading limits tokens to read access: a registry may create a repository when
	// write access is requested.
	reading bool
	// uploads numbers the uploads: the tracker would consider a repeated one done.
	uploads atomic.Int64
}

func newTarget(o resolver.Options, repository reference.Spec, reading bool) *target {
	t := &target{reading: reading, repository: repository, tracker: docker.NewInMemoryTracker()}
	t.repository.Object = ""
	o.Tracker = t.tracker
	o.V2Only = true
	t.resolver = resolver.New(o)
	return t
}

// scope requests push access from the start. Some registries issue a useless token
// for reading alone if the repository does not exist yet.
func (t *target) scope(ctx context.Context) (context.Context, error) {
	if t.reading {
		return ctx, nil
	}
	return docker.ContextWithRepositoryScope(ctx, t.repository, true)
}

// find returns the target's descriptor for a tag or digest, zero if there is none.
func (t *target) find(ctx context.Context, ref reference.Spec) (ocispec.Descriptor, error) {
	ctx, err := t.scope(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	_, desc, err := t.resolver.Resolve(ctx, ref.String())
	if errdefs.IsNotFound(err) {
		return ocispec.Descriptor{}, nil
	}
	return desc, err
}

// pusher returns a pusher for one image.
func (t *target) pusher(ctx context.Context, ref reference.Spec) (*pusher, error) {
	p, err := t.resolver.Pusher(ctx, ref.String())
	if err != nil {
		return nil, err
	}
	ingester, ok := p.(content.Ingester)
	if !ok {
		return nil, fmt.Errorf("the resolver's pusher is a %T, which is not a content.Ingester", p)
	}
	return &pusher{target: t, ingester: ingester}, nil
}

type pusher struct {
	*target
	ingester content.Ingester
}

// has reports whether the target has content. A manifest that is there as a blob does
// not count as one.
func (t *target) has(ctx context.Context, desc child) (bool, error) {
	ref := t.repository
	ref.Object = "@" + desc.Digest.String()
	found, err := t.find(ctx, ref)
	if err != nil || found.Digest == "" {
		return false, err
	}
	return !desc.manifest || isManifest(found.MediaType), nil
}

// upload is the body of a request, which end cancels, however much has been sent.
type upload struct {
	content.Writer
	cancel context.CancelFunc
}

func (u *upload) end() {
	_ = u.Close() // the error is meaningless: the pipe's end is closed
	u.cancel()
}

// open begins an upload, unless the target has the content; then it returns no
// upload, and the status tells why.
func (p *pusher) open(ctx context.Context, desc ocispec.Descriptor) (*upload, docker.PushStatus, error) {
	ctx, cancel := context.WithCancel(ctx)
	ref := fmt.Sprintf("copy-%d", p.uploads.Add(1))
	w, err := p.ingester.Writer(ctx, content.WithRef(ref), content.WithDescriptor(desc))
	if err == nil {
		return &upload{Writer: w, cancel: cancel}, docker.PushStatus{}, nil
	}
	cancel()
	if !errdefs.IsAlreadyExists(err) {
		return nil, docker.PushStatus{}, err
	}
	status, err := p.tracker.GetStatus(ref)
	return nil, status.PushStatus, err
}

// putBlob copies a blob to the target: by mounting it from another repository there,
// or with what fill writes. It calls fill again if the request must be repeated.
func (p *pusher) putBlob(ctx context.Context, desc ocispec.Descriptor, from string, fill func(*upload) error) (How, error) {
	// Any media type except a manifest's makes it a blob.
	bare := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: desc.Digest, Size: desc.Size}
	u, status, err := p.openMounting(ctx, bare, from)
	switch {
	case err != nil:
		return "", err
	case u != nil:
		return Sent, p.fill(ctx, u, bare, fill)
	case status.MountedFrom != "":
		return Mounted, nil
	default:
		return Present, nil
	}
}

// openMounting tries to mount the blob first. A registry that refuses that with an
// error may still accept the blob.
func (p *pusher) openMounting(ctx context.Context, desc ocispec.Descriptor, from string) (*upload, docker.PushStatus, error) {
	if from == "" {
		return p.open(ctx, desc)
	}
	mounting := desc
	mounting.Annotations = map[string]string{labels.LabelDistributionSource + "." + hostOf(p.repository): from}
	u, status, err := p.open(ctx, mounting)
	if err != nil && ctx.Err() == nil {
		return p.open(ctx, desc)
	}
	return u, status, err
}

// putManifest sends a manifest to a tag, or to its digest if tag is empty, and
// returns the digest by which the target knows it.
func (t *target) putManifest(ctx context.Context, tag string, desc ocispec.Descriptor, body []byte) (digest.Digest, error) {
	ref := t.repository
	if ref.Object = tag; tag == "" {
		ref.Object = "@" + desc.Digest.String()
	}
	known, err := t.resolver.PushManifest(ctx, ref.String(), desc.MediaType, body)
	if err == nil && tag == "" && known != desc.Digest {
		err = fmt.Errorf("%s: the target knows it as %s", ref, known)
	}
	return known, err
}

// fill writes content and waits for the target's confirmation.
func (p *pusher) fill(ctx context.Context, u *upload, desc ocispec.Descriptor, write func(*upload) error) error {
	defer u.end()
	for resets := 0; ; resets++ {
		// The first write, even an empty one, connects the writer to its request.
		// Without it, Close would leave the request waiting forever for its body, and
		// Commit would take an empty blob for sent.
		_, err := u.Write(nil)
		if err == nil {
			err = write(u)
		}
		if err == nil {
			err = u.Commit(ctx, desc.Size, desc.Digest)
		}
		if !errors.Is(err, content.ErrReset) || resets == maxResets {
			return err
		}
	}
}

// hostOf returns the registry without its port, as containerd names it in labels.
func hostOf(spec reference.Spec) string {
	return (&url.URL{Host: spec.Hostname()}).Hostname()
}
