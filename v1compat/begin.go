package v1compat

import (
	"context"
	"fmt"
	"io"
)

// maxBegun is how much of a layer [Image.Begin] reads.
const maxBegun = 64 << 10

// Begin checks an image as Convert would, as far as possible without reading its
// layers whole: it reads the history, requests each layer until bytes arrive, and
// reads small layers whole to verify their digests. Its errors are those of Convert.
func (img *Image) Begin(ctx context.Context) error {
	c := &Converter{}
	if _, err := readDocuments(img, c.Limits.entries()); err != nil {
		return &UnusableError{err}
	}
	v := &conversion{Converter: c, img: img}
	begun := map[string]bool{}
	for i := range img.Entries {
		entry := &img.Entries[i]
		if entry.Throwaway || begun[entry.ID] {
			continue
		}
		begun[entry.ID] = true
		f := &fetch{conversion: v, entry: entry}
		if err := (opening{f}).begin(ctx); err != nil {
			return fmt.Errorf("layer %s: %w", entry.ID, advised(err))
		}
	}
	return nil
}

// opening checks the beginning of a layer.
type opening struct{ *fetch }

// begin reads the beginning of the layer.
func (f opening) begin(ctx context.Context) error {
	stream, err := f.openAt(ctx, 0)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	f.feed = newFeed(stream)
	head, err := io.ReadAll(io.LimitReader(stream, maxBegun+1))
	f.at = int64(len(head))
	switch {
	case f.at > maxBegun || f.total > maxBegun && f.at > 0:
		return nil
	case err == nil && f.at < f.total:
		err = fmt.Errorf("%d bytes of %d: %w", f.at, f.total, io.ErrUnexpectedEOF)
	case err == nil:
		err = f.whole(head)
	}
	return f.blame(err)
}

// whole inspects a complete layer without storing it.
func (f opening) whole(body []byte) error {
	check := newVerifier(f.entry)
	in := &intake{guard: bombGuard{image: &f.all}, sum: check.writer(), open: func(plan) (io.Writer, error) { return io.Discard, nil }}
	for len(body) > 0 {
		c := newChunk()
		c.n = copy(c.buf[:], body)
		body = body[c.n:]
		if err := in.write(c); err != nil {
			return in.abort(err)
		}
	}
	_, err := in.close()
	if err == nil {
		err = f.plausible()
	}
	if err == nil {
		err = check.check()
	}
	return err
}
