package resolver

import (
	"context"
	"io"
	"net/http"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/v1compat"
)

// Work is a conversion or download that begins.
type Work struct {
	// Registry is the host[:port] in the reference, Ref the reference.
	Registry, Ref string
	// Protocol is the protocol of a conversion, empty for a download.
	Protocol string
	// Digest and Size describe the download; Size is zero or less if unknown.
	Digest digest.Digest
	Size   int64
}

// Watch follows one [Work]. Its methods may be called concurrently.
type Watch interface {
	// Layer is called with the progress of a conversion's layers.
	Layer(v1compat.Progress)
	// Received is called when n bytes of a download have arrived.
	Received(n int)
	// End is called once, at the end.
	End()
}

// begin calls the hook and returns its Watch, which may be nil.
func (h Hooks) begin(w Work) Watch {
	if h.OnBegin == nil {
		return nil
	}
	return h.OnBegin(w)
}

type watchKey struct{}

// withWatch returns a context that carries the watch of a conversion.
func withWatch(ctx context.Context, w Watch) context.Context {
	if w == nil {
		return ctx
	}
	return context.WithValue(ctx, watchKey{}, w)
}

// watchedLayers returns report, extended to notify the conversion's watch, if any.
func watchedLayers(ctx context.Context, report func(v1compat.Progress)) func(v1compat.Progress) {
	w, ok := ctx.Value(watchKey{}).(Watch)
	if !ok {
		return report
	}
	return func(p v1compat.Progress) {
		w.Layer(p)
		report(p)
	}
}

// watchedBody reports the progress of a download to the hook.
func (h Hooks) watchedBody(w Work, rc io.ReadCloser) io.ReadCloser {
	if rc == nil {
		return nil
	}
	watch := h.begin(w)
	if watch == nil {
		return rc
	}
	b := &watchedBody{ReadCloser: rc, watch: watch}
	if s, ok := rc.(io.Seeker); ok {
		return &watchedSeeker{b, s}
	}
	return b
}

type watchedBody struct {
	io.ReadCloser
	watch Watch
	once  sync.Once
}

// Read implements io.Reader.
func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.Received(n)
	return n, err
}

// Close implements io.Closer.
func (b *watchedBody) Close() error {
	b.once.Do(b.watch.End)
	return b.ReadCloser.Close()
}

type watchedSeeker struct {
	*watchedBody
	io.Seeker
}

// watchedAnswer does so for the answer to a request for a blob.
func (h Hooks) watchedAnswer(w Work, method, kind string, resp *http.Response) {
	if resp != nil && method == http.MethodGet && kind == "blobs" {
		w.Size = resp.ContentLength
		resp.Body = h.watchedBody(w, resp.Body)
	}
}
