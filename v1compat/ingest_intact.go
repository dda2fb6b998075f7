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

// granted yields the layer of an entry that names it by digest, if somebody else
// has left it in the store and this source has it, too: who may read from one
// registry or repository may not read from every other.
func (f *fetch) granted(ctx context.Context) (outcome, bool, error) {
	if f.entry.Digest == "" {
		return outcome{}, false, nil
	}
	info, err := f.Store.Info(ctx, f.entry.Digest)
	if err != nil {
		return outcome{}, false, unlessNotFound(err)
	}
	s, err := f.entry.Open(ctx, max(info.Size-1, 0)) // the last byte is enough of an answer
	switch {
	case err != nil && (errdefs.IsNotFound(err) || errdefs.IsUnauthorized(err) || errdefs.IsPermissionDenied(err)):
		return outcome{}, false, err
	case err != nil:
		return outcome{}, false, nil // to be fetched, with all attempts
	}
	_ = s.Close()
	if s.Total >= 0 && s.Total != info.Size {
		return outcome{}, false, nil
	}
	return recaller{f.conversion}.take(ctx, f.entry, f.fp, info)
}

// take makes the layer of an entry of a blob in the store, if it can be one.
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

// blobID is one blob in a store: removed and written again, it is another.
type blobID struct {
	digest  digest.Digest
	size    int64
	created int64
}

// intactBlobs are those whose bytes this process has found to be what their
// digests say.
type intactBlobs struct {
	mu  sync.Mutex // guards set
	set map[blobID]struct{}
}

// mostIntact bounds the memory of a daemon that never ends. What is forgotten is
// read again.
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

// isIntact reads a blob that this process has not read yet, and reports whether
// it is what its digest says: a disk, or a person, may have changed it since it
// was written.
func isIntact(ctx context.Context, info content.Info, ra content.ReaderAt) (bool, error) {
	if ra.Size() != info.Size {
		return false, nil
	}
	id := blobID{info.Digest, info.Size, info.CreatedAt.UnixNano()}
	if intact.has(id) {
		return true, nil
	}
	verifier := info.Digest.Verifier()
	// Not content.NewReader: that may share its place with the next of them.
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

// forsake removes a blob that is not what its digest says, so that it is fetched
// again. What the store has under its name after that is looked at once more.
func (v recaller) forsake(ctx context.Context, dgst digest.Digest) error {
	v.warn(fmt.Errorf("%s is damaged in the content store: fetching it again", dgst))
	v.damaged.Store(dgst, nil)
	if err := v.Store.Delete(ctx, dgst); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("%s is damaged in the content store and cannot be removed: %w", dgst, err)
	}
	return errUnusable
}

// arrived makes sure of a blob that the store did not take because it has it:
// under this name, or for another namespace.
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
