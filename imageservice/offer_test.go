package imageservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// shelf is a registry's blobs, by how each is opened.
type shelf map[digest.Digest]func(ctx context.Context) (io.ReadCloser, error)

// Fetch implements remotes.Fetcher.
func (s shelf) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if open := s[desc.Digest]; open != nil {
		return open(ctx)
	}
	return nil, fmt.Errorf("%s is not there", desc.Digest)
}

// blobReader can be read from any place on, as a registry's blobs can.
type blobReader struct{ *bytes.Reader }

func (blobReader) Close() error { return nil }

func holding(data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return blobReader{bytes.NewReader(data)}, nil }
}

// then is a blob that ends with an error.
func then(data []byte, err error) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(data), readerFunc(func([]byte) (int, error) { return 0, err }))), nil
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// offerOf offers one manifest and one blob of some size.
func offerOf(ctx context.Context, size int64, open func(context.Context) (io.ReadCloser, error)) (o *offer, manifest, blob digest.Digest) {
	manifest, blob = digest.FromString("{}"), digest.FromString("blob")
	ctx, cancel := context.WithCancel(ctx)
	return &offer{
		ctx: ctx, cancel: cancel, source: from(shelf{blob: open}),
		documents: map[digest.Digest]document{manifest: {ocispec.MediaTypeImageManifest, 2, []byte("{}")}},
		blobs:     map[digest.Digest]ocispec.Descriptor{blob: {MediaType: ocispec.MediaTypeImageLayerGzip, Digest: blob, Size: size}},
	}, manifest, blob
}

// from is a source that containerd has nothing of.
func from(s shelf) source { return source{ref: "registry.test/app:1", fetcher: s, store: nothing{}} }

// nothing is a store without content.
type nothing struct{}

func (nothing) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return nil, errdefs.ErrNotFound
}

// newTestLoopback returns a registry on 127.0.0.1 with a directory of its own.
func newTestLoopback(t *testing.T) *loopback {
	t.Helper()
	l, err := newLoopback(t.Context(), t.TempDir(), "process", func(string) bool { return true })
	must(t, err)
	t.Cleanup(l.Close)
	return l
}

// loopbackAnswer is an answer of the registry on 127.0.0.1.
type loopbackAnswer struct {
	code   int
	header http.Header
	body   []byte
	// cut is why the body ended.
	cut error
}

// ask requests a digest with the key of an offer, as containerd does.
func (l *loopback) ask(t *testing.T, method, key string, d digest.Digest, byteRange string) loopbackAnswer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+l.address+"/v2/app/blobs/"+d.String()+"?ns=registry.test", http.NoBody)
	must(t, err)
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return loopbackAnswer{cut: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return loopbackAnswer{resp.StatusCode, resp.Header, body, err}
}

// TestOffer answers whoever has the key, and only for its digests.
func TestOffer(t *testing.T) {
	t.Parallel()
	data := noise(300 << 10)
	l := newTestLoopback(t)
	o, manifest, blob := offerOf(t.Context(), int64(len(data)), holding(data))
	key, withdraw := l.add(o)
	t.Cleanup(withdraw)
	other, _, _ := offerOf(t.Context(), 1, holding(nil))
	other.documents = nil
	otherKey, withdrawOther := l.add(other)
	t.Cleanup(withdrawOther)
	size := int64(len(data))
	for name, tt := range map[string]struct {
		method, key, byteRange string
		digest                 digest.Digest
		code                   int
		body                   []byte
		length                 int64
		says                   string // the Content-Range
	}{
		"a manifest":             {key: key, digest: manifest, code: 200, body: []byte("{}"), length: 2},
		"only asked about":       {key: key, digest: manifest, method: http.MethodHead, code: 200, length: 2},
		"a blob":                 {key: key, digest: blob, code: 200, body: data, length: size},
		"a blob, asked about":    {key: key, digest: blob, method: http.MethodHead, code: 200, length: size},
		"the rest":               {key: key, digest: blob, byteRange: "bytes=200000-", code: 206, body: data[200000:], length: size - 200000, says: fmt.Sprintf("bytes 200000-%d/%d", size-1, size)},
		"a part":                 {key: key, digest: blob, byteRange: "bytes=5-9", code: 206, body: data[5:10], length: 5, says: fmt.Sprintf("bytes 5-9/%d", size)},
		"past the end":           {key: key, digest: blob, byteRange: fmt.Sprintf("bytes=%d-", size), code: 200, body: data, length: size},
		"no range":               {key: key, digest: blob, byteRange: "lines=1-2", code: 200, body: data, length: size},
		"a digest of nothing":    {key: key, digest: digest.FromString("other"), code: 404},
		"no digest":              {key: key, digest: "latest", code: 404},
		"a digest of another":    {key: otherKey, digest: manifest, code: 404},
		"no key":                 {digest: blob, code: 403},
		"another key":            {key: strings.ToLower(key), digest: blob, code: 403},
		"to be changed":          {key: key, digest: blob, method: http.MethodPut, code: 405},
		"to be changed, no key":  {digest: blob, method: http.MethodDelete, code: 403},
		"the key of no manifest": {key: "Bearer " + key, digest: manifest, code: 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := l.ask(t, tt.method, tt.key, tt.digest, tt.byteRange)
			if got.code != tt.code || got.cut != nil {
				t.Fatalf("%d, %v, want %d", got.code, got.cut, tt.code)
			}
			if tt.code >= 300 {
				if bytes.Contains(got.body, data[:16]) || bytes.Contains(got.body, []byte("{}")) {
					t.Errorf("got %q", got.body)
				}
				return
			}
			if !bytes.Equal(got.body, tt.body) || got.header.Get("Content-Length") != strconv.FormatInt(tt.length, 10) || got.header.Get("Content-Range") != tt.says {
				t.Errorf("%d bytes, %v", len(got.body), got.header)
			}
			if want := map[digest.Digest]string{manifest: ocispec.MediaTypeImageManifest, blob: ocispec.MediaTypeImageLayerGzip}[tt.digest]; got.header.Get("Content-Type") != want || got.header.Get("Docker-Content-Digest") != tt.digest.String() {
				t.Errorf("it is described as %v", got.header)
			}
		})
	}
}

// TestOfferOfARegistryThatFails: containerd sees that there is no blob, or that it is cut,
// and the offer knows why.
func TestOfferOfARegistryThatFails(t *testing.T) {
	t.Parallel()
	data := noise(300 << 10)
	size := int64(len(data))
	broken := errors.New("the wire is cut")
	for name, tt := range map[string]struct {
		open      func(context.Context) (io.ReadCloser, error)
		byteRange string
		code      int
		whole     bool
		says      string // the failure
	}{
		"it does not open":            {open: func(context.Context) (io.ReadCloser, error) { return nil, broken }, code: 200, says: "the wire is cut"},
		"it breaks at once":           {open: then(nil, broken), code: 200, says: "the wire is cut"},
		"it breaks off":               {open: then(data[:200<<10], broken), code: 200, says: "the wire is cut"},
		"it breaks off after the end": {open: then(data, broken), code: 200, whole: true},
		"it sends too little":         {open: holding(data[:200<<10]), code: 200, says: fmt.Sprintf("the registry has sent %d bytes fewer", 100<<10)},
		"it sends nothing":            {open: holding(nil), code: 200, says: fmt.Sprintf("the registry has sent %d bytes fewer", size)},
		"it sends too much":           {open: holding(append(slices.Clone(data), data...)), code: 200, whole: true},
		"it sends no part":            {open: then(data, io.EOF), byteRange: "bytes=9-", code: 206, says: "cannot be fetched from byte 9 on"},
		"it sends too little of one":  {open: holding(data[:200<<10]), byteRange: "bytes=9-", code: 206, says: fmt.Sprintf("the registry has sent %d bytes fewer", 100<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newTestLoopback(t)
			o, _, blob := offerOf(t.Context(), size, tt.open)
			key, withdraw := l.add(o)
			got := l.ask(t, http.MethodGet, key, blob, tt.byteRange)
			withdraw()
			if got.code != tt.code {
				t.Errorf("%d, want %d", got.code, tt.code)
			}
			if tt.whole != bytes.Equal(got.body, data) || (got.cut == nil) != tt.whole {
				t.Errorf("got %d bytes, cut by %v", len(got.body), got.cut)
			}
			if err := o.failure(); (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("failed of %v, want %q", err, tt.says)
			}
			if over := o.ctx.Err() != nil; over == tt.whole {
				t.Errorf("the pull is over: %t", over)
			}
		})
	}
}

// TestAnOfferThatHasFailed: containerd asks again for a blob that breaks off, and the
// registry is not asked again.
func TestAnOfferThatHasFailed(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	asked := 0
	o, manifest, blob := offerOf(t.Context(), 3, func(context.Context) (io.ReadCloser, error) {
		asked++
		return nil, fmt.Errorf("failure %d", asked)
	})
	key, withdraw := l.add(o)
	defer withdraw()
	for _, step := range []struct {
		digest digest.Digest
		code   int
	}{{blob, 200}, {blob, 502}, {manifest, 200}, {blob, 502}} {
		if got := l.ask(t, http.MethodGet, key, step.digest, ""); got.code != step.code {
			t.Errorf("%s: %d, want %d", step.digest, got.code, step.code)
		}
	}
	if err := o.failure(); asked != 1 || err == nil || err.Error() != "failure 1" {
		t.Errorf("asked %d times, failed of %v", asked, err)
	}
}

// TestHeadersGoFirst: containerd gives up when it hears nothing for thirty seconds, and a
// registry may take longer.
func TestHeadersGoFirst(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	answer := make(chan struct{})
	o, _, blob := offerOf(t.Context(), 3, func(ctx context.Context) (io.ReadCloser, error) {
		<-answer
		return holding([]byte("abc"))(ctx)
	})
	key, withdraw := l.add(o)
	defer withdraw()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.address+"/"+blob.String(), http.NoBody)
	must(t, err)
	req.Header.Set(keyHeader, keyPrefix+key)
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	if busy := l.requests.Load(); resp.StatusCode != http.StatusOK || resp.ContentLength != 3 || busy != 1 {
		t.Errorf("%d, %d bytes; %d requests", resp.StatusCode, resp.ContentLength, busy)
	}
	close(answer)
	if body, err := io.ReadAll(resp.Body); string(body) != "abc" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

// TestAskingAboutABlob does not fetch it.
func TestAskingAboutABlob(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	o, _, blob := offerOf(t.Context(), 3, func(context.Context) (io.ReadCloser, error) { return nil, errors.New("it is fetched") })
	key, withdraw := l.add(o)
	defer withdraw()
	got := l.ask(t, http.MethodHead, key, blob, "")
	if err := o.failure(); got.code != http.StatusOK || got.header.Get("Content-Length") != "3" || err != nil {
		t.Errorf("%d, %v: %v", got.code, got.header, err)
	}
}
