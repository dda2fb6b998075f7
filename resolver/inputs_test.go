package resolver_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// parts are answers to a request for the rest of data, from an offset on.
var parts = []struct {
	// header is the Content-Range.
	header string
	// none reports whether no byte comes with it.
	none bool
	// over reports whether all of it has to be asked for.
	over bool
}{
	{header: "bytes {at}-{last}/{total}"},
	{header: "bytes {at}-{last}/*"},
	{header: "Bytes {at}-{last}/{total}"},
	{header: "bytes={at}-{last}/{total}"},
	{header: "{at}-{last}/{total}"},
	{header: "{at}-{total}/{total}"}, // python
	{header: "bytes {at}-{last}/{total}", none: true, over: true},
	{header: "bytes {at}-garbage", over: true},
	{header: "bytes {at}-", over: true},
	{header: "bytes {at}-{last}", over: true},
	{header: "bytes {at}-{last}/", over: true},
	{header: "bytes {at}-{last}/x", over: true},
	{header: "bytes {at}-{last}/1", over: true},
	{header: "bytes {at}-99999999/{total}", over: true},
	{header: "bytes {at}-0/{total}", over: true},
	{header: "bytes 1-{last}/{total}", over: true},
	{header: "bytes */{total}", over: true},
	{header: "lines {at}-{last}/{total}", over: true},
	{header: "bytes {at}-{last}/{total}, bytes 0-0/{total}", over: true},
	{header: "bytes 99999999999999999999-{last}/{total}", over: true},
	{header: "nonsense", over: true},
}

// TestPartsWithAnOddRange go on where that is certain, and start over everywhere
// else, once: through containerd's requests and the layers of conversions.
func TestPartsWithAnOddRange(t *testing.T) {
	t.Parallel()
	for _, row := range parts {
		t.Run(fmt.Sprintf("%s, none %t", row.header, row.none), func(t *testing.T) {
			t.Parallel()
			for name, ask := range map[string]func(r *mtlsRegistry, root string) error{
				"fetched": func(r *mtlsRegistry, root string) error {
					data, desc := layer(1 << 16)
					r.Images = blobs(data)
					got, err := readAll(t, newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1"), desc)
					if err == nil && !bytes.Equal(got, data) {
						err = fmt.Errorf("%d other bytes", len(got))
					}
					return err
				},
				"converted": func(r *mtlsRegistry, root string) error {
					old, _ := schema1Registry(t, "application/json", true)
					r.Images = old.Images
					_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(t.Context(), r.Host+"/app:1")
					return err
				},
			} {
				r := newRegistry(t, nil)
				root := t.TempDir()
				r.Dir(t, root)
				var mu sync.Mutex
				asked := 0
				var ranges []string
				r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
					if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
						return false
					}
					mu.Lock()
					defer mu.Unlock()
					asked++
					ranges = append(ranges, req.Header.Get("Range"))
					var body []byte
					all := req.Clone(req.Context())
					all.Header.Del("Range")
					serveChanged(r, &recorder{ResponseWriter: discarding{}}, all, func(_ http.Header, status int, b []byte) (int, []byte) {
						body = b
						return status, b
					})
					span, part := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
					switch {
					case asked == 1: // cut in the middle
						w.Header().Set("Content-Length", strconv.Itoa(len(body)))
						_, _ = w.Write(body[:len(body)/2])
						_ = http.NewResponseController(w).Flush()
						panic(http.ErrAbortHandler)
					case !part:
						return false
					}
					at, err := strconv.Atoi(strings.TrimSuffix(span, "-"))
					if err != nil || at > len(body) {
						t.Errorf("asked for %q", span)
						return false
					}
					w.Header().Set("Content-Range", strings.NewReplacer("{at}", strconv.Itoa(at), "{last}", strconv.Itoa(len(body)-1), "{total}", strconv.Itoa(len(body))).Replace(row.header))
					if row.none {
						w.Header().Set("Content-Length", "0")
					}
					w.WriteHeader(http.StatusPartialContent)
					if !row.none {
						_, _ = w.Write(body[at:])
					}
					return true
				})
				if err := ask(r, root); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				want := 2
				if row.over {
					want++
				}
				if asked != want {
					t.Errorf("%s: asked for %q, want %d requests", name, ranges, want)
				}
			}
		})
	}
}

// discarding is a http.ResponseWriter for nobody.
type discarding struct{}

func (discarding) Header() http.Header         { return http.Header{} }
func (discarding) Write(b []byte) (int, error) { return len(b), nil }
func (discarding) WriteHeader(int)             {}

// packers are the codings that are undone.
var packers = map[string]func([]byte) []byte{
	"gzip":   zipped,
	"x-gzip": zipped,
	"GZip":   zipped,
	"deflate": func(b []byte) []byte {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		_, _ = w.Write(b)
		_ = w.Close()
		return z.Bytes()
	},
	" deflate ": func(b []byte) []byte { // what is in zlib's format, alone
		var z bytes.Buffer
		w, _ := flate.NewWriter(&z, flate.BestSpeed)
		_, _ = w.Write(b)
		_ = w.Close()
		return z.Bytes()
	},
	"zstd": func(b []byte) []byte {
		w, _ := zstd.NewWriter(nil)
		defer w.Close()
		return w.EncodeAll(b, nil)
	},
	"gzip, x-gzip":    func(b []byte) []byte { return zipped(zipped(b)) },
	"identity, gzip":  zipped,
	"gzip,, identity": zipped,
}

// TestCodingsOfManifestsAndBlobs: true or a label, in one or several, by tag and
// by digest, with a length and without.
func TestCodingsOfManifestsAndBlobs(t *testing.T) {
	t.Parallel()
	try := func(coding string, pack func([]byte) []byte, length bool) {
		t.Run(fmt.Sprintf("%q, packed %t, with a length %t", coding, pack != nil, length), func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			img := r.Push(t, "app:1", 1)
			raw, _ := img.RawManifest()
			r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				serveChanged(r, &recorder{ResponseWriter: w}, req, func(h http.Header, status int, body []byte) (int, []byte) {
					h.Set("Content-Encoding", coding)
					if h.Del("Docker-Content-Digest"); pack != nil {
						body = pack(body)
					}
					if length {
						h.Set("Content-Length", strconv.Itoa(len(body)))
					}
					w.WriteHeader(status)
					if !length {
						_ = http.NewResponseController(w).Flush()
					}
					if req.Method != http.MethodHead {
						_, _ = w.Write(body)
					}
					return status, nil
				})
				return true
			})
			root := t.TempDir()
			r.Dir(t, root)
			res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
			_, desc, err := res.Resolve(t.Context(), r.Host+"/app:1")
			if err != nil || desc.Digest != digest.FromBytes(raw) || desc.Size != int64(len(raw)) {
				t.Fatalf("resolved %v, %v", desc, err)
			}
			layers, _ := img.Layers()
			d, _ := layers[0].Digest()
			size, _ := layers[0].Size()
			for _, desc := range []ocispec.Descriptor{desc, {MediaType: string(types.DockerLayer), Digest: digest.Digest(d.String()), Size: size}} {
				f, err := res.Fetcher(t.Context(), r.Host+"/app:1")
				if err != nil {
					t.Fatal(err)
				}
				got, err := readAll(t, f, desc)
				if err != nil || digest.FromBytes(got) != desc.Digest {
					t.Errorf("fetched %d bytes of %s: %v", len(got), desc.MediaType, err)
				}
			}
		})
	}
	for coding, pack := range packers {
		for _, length := range []bool{true, false} {
			try(coding, pack, length)
			try(coding, nil, length)
		}
	}
	for _, label := range []string{"br", "compress", "aws-chunked", "gzip, br", "identity", "*"} {
		try(label, nil, true)
	}
}

// TestCodingsOfLargeBlobs, of which the digest is known when all has been read: the
// size says whether they were packed on the way, and where nobody knows that or
// the server names no length, what is in them.
func TestCodingsOfLargeBlobs(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 3<<19)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	contents := map[string][]byte{"noise": noise, "a compressed layer": zipped(noise)}
	for coding, pack := range packers {
		for name, content := range contents {
			for _, packed := range []bool{true, false} {
				for _, length := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s, %q, packed %t, with a length %t", name, coding, packed, length), func(t *testing.T) {
						t.Parallel()
						sent := content
						if packed {
							sent = pack(content)
						}
						r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
							w.Header().Set("Content-Encoding", coding)
							if length {
								w.Header().Set("Content-Length", strconv.Itoa(len(sent)))
							}
							_, _ = w.Write(sent)
						}))
						root := t.TempDir()
						r.Dir(t, root)
						o := resolver.Options{Hosts: newHosts(t, root)}
						desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromBytes(content), Size: int64(len(content))}
						fetched, err := readAll(t, newFetcher(t, o, r.Host+"/app:1"), desc)
						// What looks like a layer in gzip is taken for one: it fails by its
						// digest, and with containerd 2.3 and later by its size before that.
						guessed := packed && name == "noise"
						if got := err == nil && bytes.Equal(fetched, content); got == (guessed && !length) {
							t.Errorf("fetched %d bytes of %d: %v", len(fetched), len(content), err)
						}
						resp, err := resolver.New(o).Open(t.Context(), r.Host+"/app", http.MethodGet, nil, "blobs", desc.Digest.String())
						if err != nil {
							t.Fatal(err)
						}
						opened, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if err != nil || bytes.Equal(opened, content) == guessed {
							t.Errorf("opened %d bytes of %d: %v", len(opened), len(content), err)
						}
						if name != "noise" {
							return
						}
						// Layers of a media type for plain ones do not look like layers in
						// gzip.
						desc.MediaType = ocispec.MediaTypeImageLayer
						fetched, err = readAll(t, newFetcher(t, o, r.Host+"/app:1"), desc)
						if err != nil || !bytes.Equal(fetched, content) {
							t.Errorf("fetched %d bytes of a plain layer of %d: %v", len(fetched), len(content), err)
						}
					})
				}
			}
		}
	}
}

// TestCodingThatIsNotKnown is named where nothing can be made of what came.
func TestCodingThatIsNotKnown(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Content-Encoding", "br")
		_, _ = io.WriteString(w, "\x0b\x02\x80packed\x03")
	}))
	root := t.TempDir()
	r.Dir(t, root)
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil || !strings.Contains(err.Error(), `Content-Encoding "br"`) {
		t.Errorf("error %v", err)
	}
}

// TestManifestOfAnyType: what it is announced as is a hint, what is in it
// decides; resolved, fetched and opened it is called the same.
func TestManifestOfAnyType(t *testing.T) {
	t.Parallel()
	const (
		ociImage, ociIndex       = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
		dockerImage, dockerIndex = string(types.DockerManifestSchema2), string(types.DockerManifestList)
	)
	sum := digest.FromString("x").String()
	desc := func(mediaType string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":0}`, mediaType, sum)
	}
	image := func(own, config, layer string) string {
		return `{"schemaVersion":2,` + own + `"config":` + desc(config) + `,"layers":[` + layer + `]}`
	}
	calls := func(mediaType string) string { return fmt.Sprintf(`"mediaType":%q,`, mediaType) }
	plain := image("", ocispec.MediaTypeImageConfig, "")
	for _, row := range []struct{ announced, body, want string }{
		{"text/plain", plain, ociImage},
		{"text/plain; charset=utf-8", plain, ociImage},
		{"application/octet-stream", plain, ociImage},
		{"application/json; charset=utf-8", plain, ociImage},
		{"binary/octet-stream", image("", "application/vnd.docker.container.image.v1+json", ""), dockerImage},
		{"", plain, ociImage},
		{";;;", plain, ociImage},
		{ociImage + "; charset=utf-8", plain, ociImage},
		{strings.ToUpper(ociImage), plain, ociImage},
		{dockerImage, image(calls(ociImage), ocispec.MediaTypeImageConfig, ""), dockerImage},
		{ociImage, image(calls(dockerImage), "application/vnd.docker.container.image.v1+json", ""), ociImage},
		{ociIndex, plain, ociImage},
		{dockerIndex, image(calls(dockerImage), ocispec.MediaTypeImageConfig, ""), dockerImage},
		{ociImage, `{"schemaVersion":2,"manifests":[` + desc(ociImage) + `]}`, ociIndex},
		{dockerImage, `{"schemaVersion":2,"manifests":[` + desc(dockerImage) + `]}`, dockerIndex},
		{dockerIndex + ";q=1", `{"schemaVersion":2,"manifests":[` + desc(ociImage) + `]}`, dockerIndex},
		{"text/html", image("", "application/x-whatever", desc("text/plain")), ociImage},
		{"application/x", image(`"artifactType":"a/b",`, ocispec.MediaTypeEmptyJSON, ""), ociImage},
	} {
		t.Run(row.announced+" "+row.want, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{row.announced}
				w.Header().Set("Content-Length", strconv.Itoa(len(row.body)))
				_, _ = io.WriteString(w, row.body)
			}))
			root := t.TempDir()
			r.Dir(t, root)
			res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
			for _, d := range []digest.Digest{digest.FromString(row.body), digest.SHA512.FromString(row.body), ""} {
				ref, object := r.Host+"/app@"+d.String(), d.String()
				if d == "" {
					ref, object = r.Host+"/app:1", "1"
				}
				// A HEAD of the wrong kind of manifest is believed: what is fetched is read.
				resp, err := res.Open(t.Context(), r.Host+"/app", http.MethodGet, nil, "manifests", object)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := resp.Header.Get("Content-Type"); got != row.want || string(body) != row.body || err != nil {
					t.Errorf("opened %q: %q, %v", object, got, err)
				}
				if _, err := digest.Parse(resp.Header.Get("Docker-Content-Digest")); d == "" && err != nil {
					t.Errorf("opened %q: it is not named: %v", object, err)
				}
				_, desc, err := res.Resolve(t.Context(), ref)
				if err != nil || desc.Size != int64(len(row.body)) || d != "" && desc.Digest != d {
					t.Errorf("resolved %s: %+v, %v", ref, desc, err)
				}
				if rc, err := readAll(t, newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, ref), desc); err != nil || string(rc) != row.body {
					t.Errorf("fetched %s: %q, %v", ref, rc, err)
				}
			}
		})
	}
}

// TestHeadWithoutADigest is completed by what the manifest itself is, also for
// those who ask without containerd.
func TestHeadWithoutADigest(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	img := r.Push(t, "app:1", 1)
	want, _ := img.Digest()
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		serveChanged(r, w, req, func(h http.Header, status int, body []byte) (int, []byte) {
			h.Del("Docker-Content-Digest")
			return status, body
		})
		return true
	})
	root := t.TempDir()
	r.Dir(t, root)
	res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
	if _, desc, err := res.Resolve(t.Context(), r.Host+"/app:1"); err != nil || desc.Digest.String() != want.String() {
		t.Errorf("resolved %v, %v", desc, err)
	}
	resp, err := res.Open(t.Context(), r.Host+"/app", http.MethodHead, nil, "manifests", "1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Docker-Content-Digest"); got != want.String() {
		t.Errorf("opened: the digest is %q", got)
	}
}

// TestBlobsThatHeadDeniesAreThere: FetchByDigest asks by HEAD first, which some
// servers know for nothing.
func TestBlobsThatHeadDeniesAreThere(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 405, 500, 501} {
		for _, d := range []func([]byte) digest.Digest{digest.SHA256.FromBytes, digest.SHA512.FromBytes} {
			data, _ := layer(1 << 12)
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case !strings.HasSuffix(req.URL.Path, "/blobs/"+d(data).String()):
					http.NotFound(w, req)
				case req.Method == http.MethodHead:
					w.WriteHeader(status)
				default:
					_, _ = w.Write(data)
				}
			}))
			root := t.TempDir()
			r.Dir(t, root)
			res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
			resp, err := res.Open(t.Context(), r.Host+"/app", http.MethodHead, nil, "blobs", d(data).String())
			if err == nil {
				resp.Body.Close()
			}
			f, ok := newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1").(remotes.FetcherByDigest)
			if !ok {
				t.Fatal("no fetcher by digest")
			}
			rc, _, ferr := f.FetchByDigest(t.Context(), d(data))
			if ferr == nil {
				var got []byte
				got, ferr = io.ReadAll(rc)
				rc.Close()
				if !bytes.Equal(got, data) {
					t.Errorf("%d: %d bytes", status, len(got))
				}
			}
			if err != nil || ferr != nil {
				t.Errorf("HEAD is %d: opened %v, fetched %v", status, err, ferr)
			}
		}
	}
}
