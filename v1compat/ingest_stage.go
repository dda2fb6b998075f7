package v1compat

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// stage processes a layer's bytes as they are stored: it writes them to the store,
// and inspects them decompressed. For a compressed layer this takes three goroutines,
// of which the first is the caller's.
type stage struct {
	store io.Writer
	kind  compression
	guard *bombGuard

	inner *relay // to decompression; nil for a plain layer
	look  *inspector
	group errgroup.Group
}

func newStage(store io.Writer, kind compression, guard *bombGuard) *stage {
	s := &stage{store: store, kind: kind, guard: guard, look: &inspector{tar: newTarScan()}}
	if kind == plain {
		return s // the diff id is the blob's digest
	}
	s.look.digest = sha256.New()
	s.inner = newRelay()
	content := newRelay()
	s.group.Go(func() error { return s.decompress(content) })
	s.group.Go(func() error { return s.inspect(content) })
	return s
}

// write stores a chunk and passes it on.
func (s *stage) write(c *chunk) error {
	if _, err := s.store.Write(c.bytes()); err != nil {
		c.free()
		return fmt.Errorf("write to the content store: %w", err)
	}
	if s.inner != nil {
		return s.inner.put(c)
	}
	defer c.free()
	s.look.write(c.bytes())
	return nil
}

// close waits for the inspection after the last chunk, or after err.
func (s *stage) close(err error) (inspection, error) {
	if s.inner != nil {
		s.inner.finish(err)
		if gerr := s.group.Wait(); gerr != nil {
			return inspection{}, gerr
		}
	}
	if err != nil {
		return inspection{}, err
	}
	return s.look.result(s.kind)
}

func (s *stage) decompress(to *relay) (err error) {
	defer func() {
		s.inner.stop(err)
		to.finish(err)
	}()
	return pump([]compression{s.kind}, s.inner, func(c *chunk) error {
		if err := s.guard.grow(c.n); err != nil {
			c.free()
			return err
		}
		return to.put(c)
	})
}

func (s *stage) inspect(from *relay) (err error) {
	defer func() { from.stop(err) }()
	for {
		c, err := from.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		s.look.write(c.bytes())
		c.free()
	}
}

// pump decompresses from, outermost compression first, into chunks.
func pump(kinds []compression, from *relay, to func(*chunk) error) error {
	broken := func(err error) error {
		if from.failed != nil {
			return from.failed
		}
		return corrupt(kinds, err)
	}
	r := io.Reader(from)
	for _, kind := range kinds {
		d, err := kind.decompress(r)
		if err != nil {
			return broken(err)
		}
		defer d.Close()
		r = d
	}
	for {
		c := newChunk()
		var rerr error
		for c.n < len(c.buf) && rerr == nil {
			var n int
			n, rerr = r.Read(c.buf[c.n:])
			c.n += n
		}
		if c.n == 0 {
			c.free()
		} else if err := to(c); err != nil {
			return err
		}
		switch {
		case rerr == nil:
			continue
		case rerr != io.EOF:
			return broken(rerr)
		}
		if _, err := io.Copy(io.Discard, from); err != nil {
			return err
		}
		return nil
	}
}

// bombGuard bounds the decompressed size of a layer, and of all layers of an image
// together.
type bombGuard struct {
	limits   ConvertLimits
	received atomic.Int64
	unpacked atomic.Int64
	// image counts all layers; nil for a layer alone.
	image *bombGuard
}

// receive counts n more bytes received, and returns their total.
func (g *bombGuard) receive(n int) int64 {
	if g.image != nil {
		g.image.receive(n)
	}
	return g.received.Add(int64(n))
}

// generous is how large a layer, or an image, may become before its ratio counts.
const generous = 1 << 30

func (g *bombGuard) grow(n int) error {
	total := g.unpacked.Add(int64(n))
	switch most := g.limits.unpacked(); {
	case total > most:
		return &limitError{fmt.Errorf("the layer has more than %d bytes when decompressed, which is the limit", most)}
	case total > generous && total/g.limits.ratio() > g.received.Load():
		return &limitError{fmt.Errorf("the layer becomes more than %d times larger by decompression, which is the limit", g.limits.ratio())}
	case g.image == nil:
		return nil
	}
	total = g.image.unpacked.Add(int64(n))
	if total > generous && total/g.limits.ratio() > g.image.received.Load() {
		return &limitError{fmt.Errorf("the layers of the image become together more than %d times larger by decompression, which is the limit", g.limits.ratio())}
	}
	return nil
}

// inspector examines a decompressed layer.
type inspector struct {
	digest  hash.Hash // nil for a plain layer
	size    int64
	content bool // nonzero bytes were seen
	first   byte
	tar     *tarScan
}

func (i *inspector) write(p []byte) {
	if i.size == 0 && len(p) > 0 {
		i.first = p[0]
	}
	i.size += int64(len(p))
	if i.digest != nil {
		_, _ = i.digest.Write(p)
	}
	if !i.content {
		i.content = !zeros(p)
	}
	i.tar.write(p)
}

// inspection is what the inspector found out about a layer.
type inspection struct {
	kind    compression
	empty   bool
	diffID  digest.Digest // empty for a plain layer, whose digest it is
	warning error
}

func (i *inspector) result(kind compression) (inspection, error) {
	got := inspection{kind: kind, empty: !i.content}
	if got.empty {
		return got, nil
	}
	if err := i.tar.end(); err != nil {
		return got, &corruptError{err}
	}
	if i.tar.strange && i.tar.headers == 0 && kind == plain && (i.first == '<' || i.first == '{') {
		return got, errPage
	}
	got.warning = i.tar.warning()
	if i.digest != nil {
		got.diffID = digest.NewDigest(digest.SHA256, i.digest)
	}
	return got, nil
}

// outcome returns the outcome of the layer stored as desc.
func (i inspection) outcome(desc ocispec.Descriptor) outcome {
	if i.empty {
		return outcome{empty: true}
	}
	diffID := i.diffID
	if diffID == "" {
		diffID = desc.Digest
	}
	desc.MediaType = i.kind.mediaType()
	return outcome{desc: desc, diffID: diffID}
}
