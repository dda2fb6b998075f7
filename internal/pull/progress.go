package pull

import (
	"context"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/v1compat"
)

// watch reports the progress of layers, and the end of each only once.
type watch struct {
	report *progress.Reporter
	// atEnd reports a layer as complete at the end of its body, where nothing else
	// does.
	atEnd bool

	mu   sync.Mutex // guards told
	told map[digest.Digest]bool
}

// shown reports whether the progress of a blob is worth showing.
func shown(desc ocispec.Descriptor) bool {
	return !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) && !images.IsConfigType(desc.MediaType)
}

func nameOf(desc ocispec.Descriptor) string {
	if images.IsLayerType(desc.MediaType) {
		return "layer " + progress.Short(desc.Digest.String())
	}
	return "blob " + progress.Short(desc.Digest.String())
}

// first reports whether a layer's end has not been reported yet, and records it.
func (w *watch) first(d digest.Digest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[d] {
		return false
	}
	if w.told == nil {
		w.told = map[digest.Digest]bool{}
	}
	w.told[d] = true
	return true
}

// done reports that a blob is complete.
func (w *watch) done(desc ocispec.Descriptor, action string) {
	if shown(desc) && w.first(desc.Digest) {
		w.report.Update(progress.Item{Name: nameOf(desc), Action: action, Offset: desc.Size, Total: desc.Size, Done: true})
	}
}

// conversion reports the layers of an image being converted.
func (w *watch) conversion(p v1compat.Progress) {
	i := progress.Item{Name: "layer " + progress.Short(p.ID), Offset: p.Offset, Total: p.Total, Done: p.Done}
	switch {
	case p.Done && p.Digest == "":
		i.Action = "empty"
	case p.Known:
		i.Action = "already there"
	case p.Done:
		i.Action = "converted"
	}
	if p.Done {
		// The walk through the finished image meets the layer again.
		w.first(p.Digest)
	}
	w.report.Update(i)
}

// fetcher wraps a fetcher to report what it fetches.
func (w *watch) fetcher(inner remotes.Fetcher) remotes.Fetcher {
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		rc, err := inner.Fetch(ctx, desc)
		if err != nil || !shown(desc) {
			return rc, err
		}
		c := &counter{ReadCloser: rc, watch: w, desc: desc}
		w.report.Update(c.item())
		if s, ok := rc.(io.Seeker); ok {
			return &seekableCounter{counter: c, seeker: s}, nil
		}
		return c, nil
	})
}

// counter reports how far a body was read.
type counter struct {
	io.ReadCloser
	watch  *watch
	desc   ocispec.Descriptor
	offset int64
	action string
}

func (c *counter) item() progress.Item {
	return progress.Item{Name: nameOf(c.desc), Offset: c.offset, Total: c.desc.Size, Action: c.action}
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.offset += int64(n)
	if n > 0 {
		c.watch.report.Update(c.item())
	}
	return n, err
}

// Close implements io.Closer.
func (c *counter) Close() error {
	if c.watch.atEnd && c.offset == c.desc.Size {
		c.watch.done(c.desc, c.action)
	} else {
		c.watch.report.Drop(nameOf(c.desc))
	}
	return c.ReadCloser.Close()
}

// seekableCounter is a counter for a body that can be continued.
type seekableCounter struct {
	*counter
	seeker io.Seeker
}

// Seek implements io.Seeker.
func (c *seekableCounter) Seek(offset int64, whence int) (int64, error) {
	at, err := c.seeker.Seek(offset, whence)
	if err == nil {
		c.offset = at
		if at > 0 {
			c.action = resumed(at)
		}
	}
	return at, err
}

func resumed(at int64) string { return "resumed at " + progress.Size(at) }
