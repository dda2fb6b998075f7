package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/internal/manifest"
	"github.com/certsd/containerd-certsd/internal/ocilayout"
)

// ToLayout pulls an image into the OCI image layout in a directory, which is created
// if necessary. It does not fetch what is there already, and continues blobs that an
// earlier pull has begun. The error is an [ocilayout.UnusableError] if the directory
// is something else, and an [InterruptedError] if the pull can be continued.
func ToLayout(ctx context.Context, r *Request, dir string) (res Result, err error) {
	layout, err := ocilayout.Open(ctx, dir, ocilayout.Options{
		OnWait: func() { r.Progress.Printf("waiting for another process to finish with %s", dir) },
	})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, layout.Close()) }()
	name := ocilayout.Name{Tag: r.Ref.Tag, Image: r.Ref.String(), Repository: r.Ref.Name()}
	if err := layout.Check(name); err != nil {
		return res, err
	}
	if res, err = r.toStore(ctx, layout.Store()); err != nil {
		return res, interrupted(ctx, layout, err)
	}
	// The image is complete: an interruption comes too late now.
	return res, layout.Add(context.WithoutCancel(ctx), res.Target, name)
}

// interrupted returns an InterruptedError if the pull can be continued, else err.
func interrupted(ctx context.Context, layout *ocilayout.Layout, err error) error {
	if !cut(err) && ctx.Err() == nil {
		return err
	}
	i := &InterruptedError{Err: err}
	if ctx.Err() != nil {
		i.Err, i.Canceled = context.Cause(ctx), true
	}
	if layout.Unfinished(context.WithoutCancel(ctx)) {
		i.Dir = layout.Dir()
	}
	if i.Dir == "" && !i.Canceled {
		return err
	}
	return i
}

// cut reports whether an error comes from the network or a full disk, so that the
// same pull may work the next time.
func cut(err error) bool {
	network := errors.As(err, new(net.Error))
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// toStore fetches a whole image into a store.
func (r *Request) toStore(ctx context.Context, store content.Store) (Result, error) {
	w := &watch{report: r.Progress}
	resolver := r.resolver(store, w)
	name, desc, err := resolver.Resolve(ctx, r.Ref.String())
	if err != nil {
		return Result{}, err
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	if err != nil {
		return Result{}, err
	}
	chosen, err := r.choose(ctx, fetcher, desc)
	if err != nil {
		return Result{}, err
	}
	in := &intake{ref: r.Ref.String(), store: store, fetcher: fetcher, watch: w}
	if err := chosen.write(ctx, store); err != nil {
		return Result{}, err
	}
	if err := in.all(ctx, chosen.root); err != nil {
		return Result{}, err
	}
	res := Result{Target: chosen.root, Resolved: desc}
	if !r.PreserveDigests && r.Ref.Digest == "" {
		res.Target, err = ociForm(ctx, store, chosen.root)
	}
	return res, err
}

// intake fetches blobs into a store.
type intake struct {
	ref     string
	store   content.Store
	fetcher remotes.Fetcher
	watch   *watch
}

// maxLevels is how deep indexes may be nested.
const maxLevels = 8

// all fetches a manifest and what it needs into the store. Its configuration and
// layers are blobs, whatever their media types say.
func (in *intake) all(ctx context.Context, root ocispec.Descriptor) error {
	level := []ocispec.Descriptor{root}
	for depth := 0; len(level) > 0; depth++ {
		if depth == maxLevels {
			return fmt.Errorf("%s: indexes within indexes, more than %d deep", in.ref, maxLevels)
		}
		if err := in.each(ctx, level); err != nil {
			return err
		}
		var next, blobs []ocispec.Descriptor
		for _, d := range level {
			if manifest.KindOf(d.MediaType) == 0 {
				continue // an index may have other things in it
			}
			body, err := content.ReadBlob(ctx, in.store, d)
			if err != nil {
				return err
			}
			m, err := manifest.Parse(body, d.MediaType)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", in.ref, d.Digest, err)
			}
			if next = append(next, m.Manifests...); m.Config != nil {
				blobs = append(blobs, *m.Config)
			}
			blobs = append(blobs, m.Blobs...)
		}
		if err := in.each(ctx, blobs); err != nil {
			return err
		}
		level = next
	}
	return nil
}

// each fetches several blobs, each once.
func (in *intake) each(ctx context.Context, descs []ocispec.Descriptor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxDownloads)
	seen := map[digest.Digest]bool{}
	for _, d := range descs {
		if !seen[d.Digest] {
			seen[d.Digest] = true
			group.Go(func() error { return in.fetch(ctx, d) })
		}
	}
	return group.Wait()
}

// fetch fetches a blob into the store, unless it is there.
func (in *intake) fetch(ctx context.Context, desc ocispec.Descriptor) error {
	there, err := in.there(ctx, desc)
	if err != nil {
		return err
	}
	if there {
		in.watch.done(desc, "already there")
		return nil
	}
	action, err := in.fetchOnce(ctx, desc)
	if action != "" && err != nil && ctx.Err() == nil && !cut(err) {
		// What an earlier pull left is not the beginning of this blob, or the server
		// does not send the rest alone.
		err = unlessNotFound(in.store.Abort(ctx, remotes.MakeRefKey(ctx, desc)))
		if err == nil {
			action, err = in.fetchOnce(ctx, desc)
		}
	}
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return in.explain(err, desc)
	}
	in.watch.done(desc, action)
	return nil
}

// empty stores an empty blob, which containerd refuses to fetch.
func (in *intake) empty(ctx context.Context, desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil || desc.Digest.Algorithm().FromBytes(nil) != desc.Digest {
		return &DigestError{Want: desc.Digest}
	}
	return content.WriteBlob(ctx, in.store, remotes.MakeRefKey(ctx, desc), bytes.NewReader(nil), desc)
}

// fetchOnce fetches a blob, or the rest of it, as action tells. It discards wrong
// content.
func (in *intake) fetchOnce(ctx context.Context, desc ocispec.Descriptor) (action string, err error) {
	key := remotes.MakeRefKey(ctx, desc)
	if s, err := in.store.Status(ctx, key); err == nil && s.Offset > 0 {
		action = resumed(s.Offset)
	}
	if desc.Size == 0 {
		return action, in.empty(ctx, desc)
	}
	err = remotes.Fetch(ctx, in.store, in.fetcher, desc)
	if errdefs.IsFailedPrecondition(err) {
		return action, errors.Join(err, unlessNotFound(in.store.Abort(context.WithoutCancel(ctx), key)))
	}
	return action, err
}

func unlessNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// there reports whether the store has a blob in its full length. The store verifies
// the content.
func (in *intake) there(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	info, err := in.store.Info(ctx, desc.Digest)
	switch {
	case errdefs.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case info.Size == desc.Size:
		return true, nil
	default:
		return false, in.store.Delete(ctx, desc.Digest)
	}
}

// explain explains a wrong digest.
func (in *intake) explain(err error, desc ocispec.Descriptor) error {
	if !errdefs.IsFailedPrecondition(err) {
		return err
	}
	return fmt.Errorf("%s: %s: the server sent other content than this digest names: %w: nothing of it was kept: ask the registry's owner, or try another mirror",
		in.ref, desc.Digest, err)
}
