package v1compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// granted returns the layer of an entry that names it by digest, if another source
// has left it in the store and this one serves it, too: read access to one registry
// or repository does not imply access to another.
func (f *fetch) granted(ctx context.Context) (outcome, bool, error) {
	if f.entry.Digest == "" {
		return outcome{}, false, nil
	}
	info, err := f.Store.Info(ctx, f.entry.Digest)
	if err != nil {
		return outcome{}, false, unlessNotFound(err)
	}
	s, err := f.entry.Open(ctx, max(info.Size-1, 0)) // the last byte is proof enough
	switch {
	case err != nil && (errdefs.IsNotFound(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err)):
		return outcome{}, false, err
	case err != nil:
		return outcome{}, false, nil // run fetches it, with all attempts
	}
	_ = s.Close()
	if s.Total >= 0 && s.Total != info.Size {
		return outcome{}, false, nil
	}
	return recaller{f.conversion}.take(ctx, f.entry, f.fp, info)
}

// take uses a blob in the store as the layer of an entry, if it can be one.
func (v recaller) take(ctx context.Context, e *Entry, fp fingerprint, info content.Info) (outcome, bool, error) {
	out, err := v.reuse(ctx, info)
	if err != nil {
		return outcome{}, false, unlessNotFound(err)
	}
	if !out.empty {
		if err := v.label(ctx, info.Digest, v.layerLabels(out, fp)); err != nil {
			return outcome{}, false, unlessNotFound(err)
		}
	}
	v.progress(Progress{ID: e.ID, Offset: info.Size, Total: info.Size, Done: true, Known: true, Digest: out.desc.Digest})
	return out, true, nil
}

// blobID identifies one blob in a store: removed and written again, it is another.
type blobID struct {
	digest  digest.Digest
	size    int64
	created int64
}

// intactBlobs records the blobs that this process has read and found to match their
// digests.
type intactBlobs struct {
	mu  sync.Mutex // guards set
	set map[blobID]struct{}
}

// mostIntact bounds the memory of a long-running daemon. Forgotten blobs are read
// again.
const mostIntact = 1 << 16

var intact = intactBlobs{set: map[blobID]struct{}{}}

func (b *intactBlobs) has(id blobID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.set[id]
	return ok
}

func (b *intactBlobs) add(id blobID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.set) >= mostIntact {
		clear(b.set)
	}
	b.set[id] = struct{}{}
}

// isIntact reads a blob, unless this process has done so before, and reports whether
// it matches its digest: a disk, or a person, may have changed it since it was
// written.
func isIntact(ctx context.Context, info content.Info, ra content.ReaderAt) (bool, error) {
	if ra.Size() != info.Size {
		return false, nil
	}
	id := blobID{info.Digest, info.Size, info.CreatedAt.UnixNano()}
	if intact.has(id) {
		return true, nil
	}
	verifier := info.Digest.Verifier()
	// Not content.NewReader, which may share its offset with a later reader of ra.
	if _, err := io.Copy(verifier, &cancellable{ctx, io.NewSectionReader(ra, 0, info.Size)}); err != nil {
		return false, err
	}
	if !verifier.Verified() {
		return false, nil
	}
	intact.add(id)
	return true, nil
}

// cancellable reads until a context ends.
type cancellable struct {
	//nolint:containedctx // an io.Reader is given none
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (c *cancellable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// forsake removes a blob that does not match its digest, so that it is fetched again.
// arrived then checks what the store holds under that digest.
func (v recaller) forsake(ctx context.Context, dgst digest.Digest) error {
	v.warn(fmt.Errorf("%s is damaged in the content store: fetching it again", dgst))
	v.damaged.Store(dgst, nil)
	if err := v.Store.Delete(ctx, dgst); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("%s is damaged in the content store and cannot be removed: %w", dgst, err)
	}
	return errUnusable
}

// arrived verifies a blob that the store did not take because it had it, in this
// namespace or another, or that was found damaged before.
func (v *conversion) arrived(ctx context.Context, dgst digest.Digest, existed bool) error {
	if _, damaged := v.damaged.Load(dgst); !damaged && !existed {
		return nil
	}
	info, err := v.Store.Info(ctx, dgst)
	if err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	ra, err := v.Store.ReaderAt(ctx, ocispec.Descriptor{Digest: dgst, Size: info.Size})
	if err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	ok, err := isIntact(ctx, info, ra)
	if err = errors.Join(err, ra.Close()); err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	if !ok {
		return fmt.Errorf("%s is damaged in the content store, which does not replace it: remove it there, from all namespaces, and pull again", dgst)
	}
	return nil
}
