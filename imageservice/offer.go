package imageservice

import (
	"context"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// offer is an image that containerd may fetch from the loopback registry, by its digests.
// The zero value offers nothing.
type offer struct {
	// ctx is that of the pull, which cancel ends.
	ctx    context.Context //nolint:containedctx // containerd's requests are part of the pull
	cancel context.CancelFunc
	source source
	// documents are the index and the manifests, blobs the configurations and layers.
	documents map[digest.Digest]document
	blobs     map[digest.Digest]ocispec.Descriptor
	// platform is the one of the manifest.
	platform ocispec.Platform
	// asked is set once containerd has asked for anything; begun and active count its
	// requests for blobs, and those under way.
	asked         atomic.Bool
	begun, active atomic.Int64

	// requests are those under way.
	requests sync.WaitGroup
	// mu guards the rest.
	mu sync.Mutex
	// failed is why the registry's answers cannot be passed on.
	failed error
	// connections are those of all requests.
	connections map[net.Conn]bool
}

// document is an index or a manifest.
type document struct {
	mediaType string
	size      int64
	// body is nil if containerd may only know that it is there.
	body []byte
}

// begin is called for each request, before the offer can end.
func (o *offer) begin(r *http.Request) (done func()) {
	o.asked.Store(true)
	o.requests.Add(1)
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.connections == nil {
			o.connections = map[net.Conn]bool{}
		}
		o.connections[c] = true
	}
	return o.requests.Done
}

// end closes the offer's connections, which containerd would keep for a while, and waits
// for its requests. No more begin.
func (o *offer) end() {
	o.mu.Lock()
	for c := range o.connections {
		_ = c.Close()
	}
	o.mu.Unlock()
	o.requests.Wait()
}

// ServeHTTP implements http.Handler.
func (o *offer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "read-only", http.StatusMethodNotAllowed)
		return
	}
	wanted := digest.Digest(path.Base(r.URL.Path))
	if d, ok := o.documents[wanted]; ok {
		describe(w, ocispec.Descriptor{MediaType: d.mediaType, Digest: wanted})
		w.Header().Set("Content-Length", strconv.FormatInt(d.size, 10))
		if r.Method == http.MethodGet {
			_, _ = w.Write(d.body) // containerd may be gone
		}
		return
	}
	desc, ok := o.blobs[wanted]
	if !ok {
		http.Error(w, "not a part of the image", http.StatusNotFound)
		return
	}
	describe(w, desc)
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Length", strconv.FormatInt(desc.Size, 10))
		return
	}
	o.serveBlob(w, r, desc)
}

func describe(w http.ResponseWriter, desc ocispec.Descriptor) {
	w.Header().Set("Content-Type", desc.MediaType)
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	w.Header().Set("Accept-Ranges", "bytes")
}

// fail records why the registry's answer cannot be passed on, and ends the pull: containerd
// would ask again. That nobody wants the answer any more is no failure.
func (o *offer) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
		o.cancel()
	}
}

// failure returns why a transfer of the offer has failed, nil if the registry was not the
// reason.
func (o *offer) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}
