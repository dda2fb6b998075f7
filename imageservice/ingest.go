package imageservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
)

// ingest writes a blob to containerd. The last piece travels with the commit, and each
// piece is sent while containerd still takes in the one before: a small blob takes two
// round trips, and a large one never waits for a full one.
type ingest struct {
	stream contentapi.Content_WriteClient
	// wanted describes the blob; its size is zero if unknown.
	wanted content.WriterOpts
	// labels are set on commit; committed, if not nil, is called when the blob has
	// them.
	labels    map[string]string
	committed func(digest.Digest)

	// opened is what containerd had of the blob at first. The next message begins at
	// sent; due are the end offsets of unanswered messages.
	opened content.Status
	sent   int64
	due    []int64
	// digest is the one that containerd reported last.
	digest digest.Digest

	pieces
	// failed is the error that ended the stream.
	failed error
	closed bool
}

var _ io.ReaderFrom = (*ingest)(nil)

// open opens the blob, which containerd locks for this writer until it is closed.
func (w *ingest) open() error {
	desc := w.wanted.Desc
	err := w.stream.Send(&contentapi.WriteContentRequest{
		Action: contentapi.WriteAction_STAT, Ref: w.wanted.Ref, Total: desc.Size, Expected: desc.Digest.String(),
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return errgrpc.ToNative(err)
	}
	answer, err := w.stream.Recv()
	if err != nil {
		return errgrpc.ToNative(err)
	}
	w.sent = answer.GetOffset()
	w.opened = content.Status{
		Ref: w.wanted.Ref, Total: desc.Size, Expected: desc.Digest,
		StartedAt: answer.GetStartedAt().AsTime(), UpdatedAt: answer.GetUpdatedAt().AsTime(),
	}
	return nil
}

// Status implements content.Writer.
func (w *ingest) Status() (content.Status, error) {
	status := w.opened
	status.Offset = w.offset()
	return status, w.failed
}

func (w *ingest) offset() int64 { return w.sent + int64(len(w.held)) }

// Digest implements content.Writer.
func (w *ingest) Digest() digest.Digest { return w.digest }

// Write implements io.Writer.
func (w *ingest) Write(p []byte) (int, error) {
	n, err := w.ReadFrom(bytes.NewReader(p))
	return int(n), err
}

// ReadFrom implements io.ReaderFrom, which content.Copy uses. It returns the reader's
// errors unchanged: one may report that the data was cut short.
func (w *ingest) ReadFrom(r io.Reader) (n int64, err error) {
	for err == nil {
		var got int
		if w.full() && w.offset() == w.wanted.Desc.Size {
			got, err = w.end(r)
		} else {
			got, err = w.take(r)
		}
		n += int64(got)
	}
	if err == io.EOF { //nolint:errorlint // a reader returns it bare
		return n, nil
	}
	return n, err
}

// take reads into the buffer.
func (w *ingest) take(r io.Reader) (int, error) {
	if err := w.room(); err != nil {
		return 0, err
	}
	n, err := r.Read(w.held[len(w.held):cap(w.held)])
	w.held = w.held[:len(w.held)+n]
	return n, err
}

// end checks that the reader ends where the blob is complete, without another buffer.
// If there is a further byte, it is sent for containerd to refuse.
func (w *ingest) end(r io.Reader) (int, error) {
	var more [1]byte
	n, err := r.Read(more[:])
	if n == 0 {
		return 0, err
	}
	if full := w.room(); full != nil {
		return 0, full
	}
	w.held = append(w.held, more[0])
	return n, err
}

// room ensures that the buffer has room.
func (w *ingest) room() error {
	if w.failed != nil {
		return w.failed
	}
	w.get(w.wanted.Desc.Size)
	if !w.full() {
		return nil
	}
	return w.flush()
}

// flush sends the buffered bytes, and waits for a buffer that containerd has read.
func (w *ingest) flush() error {
	if len(w.held) == 0 {
		return nil
	}
	err := w.say(&contentapi.WriteContentRequest{Action: contentapi.WriteAction_WRITE, Offset: w.sent, Data: w.held})
	if err == nil {
		err = w.hear(w.next())
	}
	if err != nil {
		return w.fail("failed to send write", err)
	}
	return nil
}

// say sends a message without waiting for its answer.
func (w *ingest) say(m *contentapi.WriteContentRequest) error {
	err := w.stream.Send(m)
	if errors.Is(err, io.EOF) {
		// The answers received say why.
		for err = nil; err == nil; {
			_, err = w.stream.Recv()
		}
	}
	if err != nil {
		return errgrpc.ToNative(err)
	}
	w.sent += int64(len(m.GetData()))
	w.due = append(w.due, w.sent)
	return nil
}

// hear waits until at most that many messages are unanswered.
func (w *ingest) hear(most int) error {
	for len(w.due) > most {
		answer, err := w.stream.Recv()
		if err != nil {
			return errgrpc.ToNative(err)
		}
		if answer.GetOffset() != w.due[0] {
			return fmt.Errorf("%w: containerd is at %d, not %d", io.ErrShortWrite, answer.GetOffset(), w.due[0])
		}
		w.due = w.due[1:]
		w.digest = digest.Digest(answer.GetDigest())
	}
	return nil
}

// Truncate implements content.Writer. An offset that containerd refuses is reported
// only with the next message.
func (w *ingest) Truncate(size int64) error {
	if size == w.offset() {
		return nil
	}
	w.held = w.held[:0]
	w.sent = size
	return nil
}

// Commit implements content.Writer.
func (w *ingest) Commit(_ context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.failed
	if err == nil {
		err = w.commit(size, expected, opts)
	}
	if err == nil && w.committed != nil {
		w.committed(w.digest)
	}
	return errors.Join(err, w.Close())
}

func (w *ingest) commit(size int64, expected digest.Digest, opts []content.Opt) error {
	var info content.Info
	for _, opt := range opts {
		if err := opt(&info); err != nil {
			return err
		}
	}
	if w.labels != nil {
		labels := maps.Clone(w.labels)
		maps.Copy(labels, info.Labels)
		info.Labels = labels
	}
	last := w.held
	if w.wanted.Desc.Size == 0 || expected == "" {
		// If the blob is not known beforehand, learn its digest before the commit,
		// which containerd refuses for a blob that it has.
		if err := w.flush(); err != nil {
			return err
		}
		if err := w.hear(0); err != nil {
			return w.fail("failed to send write", err)
		}
		last = nil
	}
	err := w.say(&contentapi.WriteContentRequest{
		Action: contentapi.WriteAction_COMMIT, Total: size, Offset: w.sent, Expected: expected.String(), Labels: info.Labels, Data: last,
	})
	w.held = w.held[:0]
	if err == nil {
		err = w.hear(0)
	}
	switch {
	case err != nil:
		return w.fail("commit failed", err)
	case size != 0 && w.sent != size:
		return fmt.Errorf("unexpected size: %v != %v", w.sent, size)
	case expected != "" && w.digest != expected:
		return fmt.Errorf("unexpected digest: %v != %v", w.digest, expected)
	}
	return nil
}

func (w *ingest) fail(what string, err error) error {
	w.failed = fmt.Errorf("%s: %w", what, err)
	return w.failed
}

// Close implements io.Closer. Bytes that were not committed stay in containerd, for
// another writer to resume.
func (w *ingest) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.failed == nil && len(w.held) > 0 {
		_ = w.flush()
	}
	if err := w.hear(0); err != nil && w.failed == nil {
		_ = w.fail("failed to send write", err)
	}
	_ = w.stream.CloseSend() // nothing more is sent
	// containerd unlocks the blob when the stream ends.
	var ended error
	for ended == nil {
		_, ended = w.stream.Recv()
	}
	w.put(w.failed == nil)
	return nil
}
