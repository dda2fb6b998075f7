package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/internal/ocilayout"
)

// ToLayout pulls an image into the OCI image layout in a directory, which is
// made if it does not exist. What is there already is not fetched, and what an
// earlier pull has of a blob is continued. The error is an
// [ocilayout.UnusableError] if the directory is something else, and an
// [InterruptedError] where it can be continued.
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
	// All of it is there: an interruption comes too late now.
	return res, layout.Add(context.WithoutCancel(ctx), res.Target, name)
}

// interrupted says how to go on where that makes sense.
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

// cut tells whether an error is one of the network, or of a full disk: the same
// may work the next time.
func cut(err error) bool {
	network := errors.As(err, new(net.Error))
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// toStore brings all of an image into a store.
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
	handler := images.Handlers(images.HandlerFunc(in.fetch), images.HandlerFunc(in.children))
	if err := images.Dispatch(ctx, handler, semaphore.NewWeighted(maxDownloads), chosen.root); err != nil {
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

// fetch is an images.HandlerFunc that brings a blob into the store.
func (in *intake) fetch(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	there, err := in.there(ctx, desc)
	if err != nil {
		return nil, err
	}
	if there {
		in.watch.done(desc, "already there")
		return nil, nil
	}
	action, err := in.fetchOnce(ctx, desc)
	if action != "" && err != nil && ctx.Err() == nil && !cut(err) {
		// What an earlier pull left is not the beginning of this blob, or the
		// server does not send the rest alone.
		err = unlessNotFound(in.store.Abort(ctx, remotes.MakeRefKey(ctx, desc)))
		if err == nil {
			action, err = in.fetchOnce(ctx, desc)
		}
	}
	if errdefs.IsAlreadyExists(err) {
		return nil, nil
	}
	if err != nil {
		return nil, in.explain(err, desc)
	}
	in.watch.done(desc, action)
	return nil, nil
}

// mediaTypeArtifact is the manifest of artifacts that OCI 1.1 had until its last
// release candidate.
const mediaTypeArtifact = "application/vnd.oci.artifact.manifest.v1+json"

// children are what a manifest names.
func (in *intake) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if desc.MediaType != mediaTypeArtifact {
		return images.Children(ctx, in.store, desc)
	}
	var artifact struct {
		Blobs []ocispec.Descriptor `json:"blobs"`
	}
	if desc.Size > maxDocument {
		return nil, fmt.Errorf("%s: a manifest of %d bytes is too large", desc.Digest, desc.Size)
	}
	err := read(ctx, in.store, desc, &artifact)
	return artifact.Blobs, err
}

// empty stores a blob of nothing, which containerd refuses to fetch.
func (in *intake) empty(ctx context.Context, desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil || desc.Digest.Algorithm().FromBytes(nil) != desc.Digest {
		return &DigestError{Want: desc.Digest}
	}
	return content.WriteBlob(ctx, in.store, remotes.MakeRefKey(ctx, desc), bytes.NewReader(nil), desc)
}

// fetchOnce fetches a blob, or the rest of it. action tells which. Nothing is
// left of what is not the blob.
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

// there tells whether the store has a blob, in its full length. Its content is
// verified by the store.
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

// explain says what a wrong digest means.
func (in *intake) explain(err error, desc ocispec.Descriptor) error {
	if !errdefs.IsFailedPrecondition(err) {
		return err
	}
	return fmt.Errorf("%s: %s: the server sent other content than this digest names: %w: nothing of it was kept: ask the registry's owner, or try another mirror",
		in.ref, desc.Digest, err)
}
