package imagecopy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/resolver"
)

const (
	// maxDepth is how deep indexes may be nested.
	maxDepth = 4
	// maxNodes bounds the content that one manifest names.
	maxNodes = 10_000
	// atATime is how much of one manifest's content is checked at a time.
	// Copier.Blobs limits the transfers.
	atATime = 8
)

// run is one call of Copy.
type run struct {
	*Copier
	request Request
	source  *source
	target  *target
	// streams bounds the transfers.
	streams *semaphore.Weighted
	// manifests and contents record what the target has, separately: the same digest
	// may be requested as either. referred records whose referrers it has, too.
	manifests, contents, referred shared
	// measured holds the layers whose sizes a dry run has counted.
	measured sync.Map
	// mountFrom is the source's repository if the target can mount blobs from it, as
	// both are in one registry.
	mountFrom string
}

func newRun(c *Copier, req Request) *run {
	r := &run{Copier: c, request: req, streams: semaphore.NewWeighted(c.blobs())}
	from, _ := reference.Parse(req.Source)
	to, _ := reference.Parse(req.Target)
	r.source = newSource(c.optionsFor(from), c, req)
	r.target = newTarget(c.optionsFor(to), to, req.DryRun)
	if sameRegistry(from.Hostname(), to.Hostname()) {
		r.mountFrom = repository(from)
	}
	return r
}

// optionsFor returns the resolver's options for a repository.
func (c *Copier) optionsFor(spec reference.Spec) resolver.Options {
	o := resolver.Options{Hosts: c.Hosts}
	if c.Credentials != nil {
		o.Credentials = func(host string) (string, string, error) { return c.Credentials(host, repository(spec)) }
	}
	return o
}

func sameRegistry(a, b string) bool {
	ca, erra := hostname.Canonical(a)
	cb, errb := hostname.Canonical(b)
	return erra == nil && errb == nil && ca == cb
}

// item copies one image.
func (r *run) item(ctx context.Context, j job) Item {
	item := Item{Name: j.name, Source: j.source.String(), Target: j.target.String()}
	defer r.source.use()()
	if err := r.copyImage(ctx, j, &item); err != nil {
		item.State, item.Err = Failed, err
	}
	return item
}

func (r *run) copyImage(ctx context.Context, j job, item *Item) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: not begun: %w", item.Source, err)
	}
	if j.target.Object != "" {
		there, err := r.target.find(ctx, j.target)
		if err != nil {
			return err
		}
		item.Replaces = there.Digest
	}
	img, err := r.source.resolve(ctx, item.Source)
	if r.request.DryRun && errdefs.IsNotImplemented(err) {
		item.State = Undecided
		r.estimate(err, &item.Counts)
		return nil
	}
	if err != nil {
		return err
	}
	root, err := img.pick(ctx, r.request.Platform)
	if err != nil {
		return err
	}
	item.Digest = root.Digest
	t := &journey{run: r, image: img, item: item, tag: tagOf(j.target)}
	if t.to, err = r.target.pusher(ctx, j.target); err != nil {
		return err
	}
	if err := t.root(ctx, root); err != nil {
		return err
	}
	return t.referrers(ctx, root)
}

// estimate counts the layers of an unconverted image, each only for the first image
// that has it.
func (r *run) estimate(err error, c *Counts) {
	var u *resolver.UnconvertedError
	if !errors.As(err, &u) {
		return
	}
	for _, l := range u.Layers {
		if _, known := r.measured.LoadOrStore(l.ID, true); known {
			continue
		}
		if c.ToConvert++; l.Size < 0 {
			c.Unmeasured++
			continue
		}
		c.ConvertBytes += l.Size
	}
}

func tagOf(spec reference.Spec) string {
	tag, _, _ := strings.Cut(spec.Object, "@")
	return tag
}

// journey is the copy of one image.
type journey struct {
	*run
	image *image
	to    *pusher
	// tag is the tag at the target, empty if the image goes only to its digest.
	tag  string
	item *Item

	// referrersSeen counts the image's referrers, direct or not.
	referrersSeen int

	// mu guards item.Counts.
	mu sync.Mutex
}

// root copies the image to its tag, unless the tag names it already.
func (t *journey) root(ctx context.Context, root ocispec.Descriptor) error {
	if t.tag == "" {
		there, err := t.to.has(ctx, child{root, true})
		if err != nil {
			return err
		}
		if there {
			t.item.Replaces = root.Digest
		}
	} else if root.Digest.Algorithm() != digest.Canonical {
		// The registry gives a tagged image its own digest, which is this one.
		body, err := t.image.manifest(ctx, root)
		if err != nil {
			return err
		}
		t.item.Digest = digest.FromBytes(body)
	}
	if t.item.State = Identical; t.item.Replaces == t.item.Digest {
		return nil
	}
	t.item.State = Copied
	return t.manifest(ctx, root, 0)
}

// manifest sends everything that a manifest names, and then the manifest. At depth
// zero that is the image itself, which goes to its tag.
func (t *journey) manifest(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if depth > maxDepth {
		return &unusableError{fmt.Errorf("%s: indexes lie more than %d deep", desc.Digest, maxDepth)}
	}
	if depth > 0 {
		there, err := t.to.has(ctx, child{desc, true})
		if err != nil || there {
			return err
		}
	}
	body, err := t.image.manifest(ctx, desc)
	if err != nil {
		return err
	}
	children, err := childrenOf(desc, body)
	if err != nil {
		return err
	}
	// No cancellation at the first error: another image may need the blob, too.
	var group errgroup.Group
	group.SetLimit(atATime)
	for _, child := range children {
		group.Go(func() error { return t.child(ctx, child, depth+1) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if t.request.DryRun {
		return nil
	}
	return t.put(ctx, desc, body, depth)
}

func (t *journey) put(ctx context.Context, desc ocispec.Descriptor, body []byte, depth int) error {
	tag := ""
	if depth == 0 {
		tag = t.tag
	}
	if tag != "" && t.request.Referrers && desc.Digest.Algorithm() != digest.Canonical {
		// Its referrers name this digest, which the tag will not have.
		if _, err := t.to.putManifest(ctx, "", desc, body); err != nil {
			return err
		}
	}
	known, err := t.to.putManifest(ctx, tag, desc, body)
	if depth == 0 && err == nil {
		t.item.Digest = known
	}
	return err
}

// child sends content that a manifest names, once for all manifests that name it.
func (t *journey) child(ctx context.Context, c child, depth int) error {
	if c.manifest {
		return t.manifests.once(ctx, c.Digest, func() error { return t.manifest(ctx, c.Descriptor, depth) })
	}
	return t.contents.once(ctx, c.Digest, func() error { return t.blob(ctx, c.Descriptor) })
}

// blob copies a layer or configuration to the target.
func (t *journey) blob(ctx context.Context, desc ocispec.Descriptor) error {
	if err := t.streams.Acquire(ctx, 1); err != nil {
		return err
	}
	defer t.streams.Release(1)
	how, err := t.sendBlob(ctx, desc)
	if err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	t.count(desc, how)
	t.report(Blob{Descriptor: desc, Offset: desc.Size, Done: true, How: how})
	return nil
}

func (t *journey) sendBlob(ctx context.Context, desc ocispec.Descriptor) (How, error) {
	if t.request.DryRun {
		there, err := t.to.has(ctx, child{Descriptor: desc})
		if there {
			return Present, nil
		}
		return Sent, err
	}
	return t.to.putBlob(ctx, desc, t.mountFrom, func(w *upload) error {
		rc, err := t.image.blob(ctx, desc)
		if err != nil {
			return err
		}
		err = send(w, rc, desc, func(n int64) { t.report(Blob{Descriptor: desc, Offset: n}) })
		return errors.Join(err, rc.Close())
	})
}

func (t *journey) report(b Blob) {
	if t.Hooks.OnBlob != nil {
		t.Hooks.OnBlob(b)
	}
}

func (t *journey) count(desc ocispec.Descriptor, how How) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch c := &t.item.Counts; how {
	case Sent:
		c.Sent++
		c.Bytes += desc.Size
	case Mounted:
		c.Mounted++
	case Present:
		c.Present++
	}
}

// shared does only once what several images need.
type shared struct {
	// mu guards tasks.
	mu    sync.Mutex
	tasks map[digest.Digest]*task
}

type task struct {
	done chan struct{}
	err  error
}

// once returns the result of do for a key, and calls do unless another caller already
// has. After a failure, the next caller tries again.
func (s *shared) once(ctx context.Context, key digest.Digest, do func() error) error {
	s.mu.Lock()
	if t, ok := s.tasks[key]; ok {
		s.mu.Unlock()
		select {
		case <-t.done:
			return t.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t := &task{done: make(chan struct{})}
	if s.tasks == nil {
		s.tasks = map[digest.Digest]*task{}
	}
	s.tasks[key] = t
	s.mu.Unlock()

	t.err = do()
	if t.err != nil {
		s.mu.Lock()
		delete(s.tasks, key)
		s.mu.Unlock()
	}
	close(t.done)
	return t.err
}
