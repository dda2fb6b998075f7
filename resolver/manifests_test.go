package resolver_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// recorder keeps an answer, to change it before it is sent.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// serveChanged answers as r's images do, after change.
func serveChanged(r *mtlsRegistry, w http.ResponseWriter, req *http.Request, change func(h http.Header, status int, body []byte) (int, []byte)) {
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	get := req.Clone(req.Context())
	get.Method = http.MethodGet
	r.Images.ServeHTTP(rec, get)
	w.Header().Del("Content-Length")
	status, body := change(w.Header(), rec.status, rec.body.Bytes())
	if w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

func isManifest(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }

// TestHeadThatTellsNothing is followed by a GET before anything is concluded.
func TestHeadThatTellsNothing(t *testing.T) {
	t.Parallel()
	status := func(code int) func(h http.Header, _ int, body []byte) (int, []byte) {
		return func(h http.Header, _ int, body []byte) (int, []byte) {
			h.Del("Docker-Content-Digest")
			return code, body
		}
	}
	for name, change := range map[string]func(h http.Header, status int, body []byte) (int, []byte){
		"no type":        func(h http.Header, s int, b []byte) (int, []byte) { h["Content-Type"] = nil; return s, b },
		"length of zero": func(h http.Header, s int, b []byte) (int, []byte) { h.Set("Content-Length", "0"); return s, b },
		"a file's type": func(h http.Header, s int, b []byte) (int, []byte) {
			h.Set("Content-Type", "application/x-troff-man")
			return s, b
		},
		"schema 1's type": func(h http.Header, s int, b []byte) (int, []byte) {
			h.Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws; charset=utf-8")
			return s, b
		},
		"a digest of none": func(h http.Header, s int, b []byte) (int, []byte) { h.Set("Docker-Content-Digest", "abc"); return s, b },
		"bad request":      status(http.StatusBadRequest),
		"not found":        status(http.StatusNotFound),
		"method":           status(http.StatusMethodNotAllowed),
		"not acceptable":   status(http.StatusNotAcceptable),
		"server error":     status(http.StatusInternalServerError),
		"not implemented":  status(http.StatusNotImplemented),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			img := r.Push(t, "app:1", 1)
			want, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				if !isManifest(req) || req.Method != http.MethodHead {
					return false
				}
				serveChanged(r, w, req, change)
				return true
			})
			root := t.TempDir()
			r.Dir(t, root)
			for _, ref := range []string{r.Host + "/app:1", r.Host + "/app@" + want.String()} {
				_, desc, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), ref)
				if err != nil || desc.Digest.String() != want.String() || desc.Size == 0 || desc.MediaType != "application/vnd.docker.distribution.manifest.v2+json" {
					t.Errorf("%s: %v %v", ref, desc, err)
				}
			}
		})
	}
}

// TestHeadThatIsBelieved costs one request, also where it says no.
func TestHeadThatIsBelieved(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	root := t.TempDir()
	r.Dir(t, root)
	for status, want := range map[int]int{http.StatusOK: 1, http.StatusUnauthorized: 1, http.StatusTooManyRequests: 5} {
		r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
			if status != http.StatusOK {
				w.WriteHeader(status)
			}
			return status != http.StatusOK
		})
		r.Calls()
		_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
		calls := r.Calls()
		if (err == nil) != (status == http.StatusOK) || len(calls) != want && status != http.StatusTooManyRequests ||
			slices.ContainsFunc(calls, func(c call) bool { return c.Method != http.MethodHead }) {
			t.Errorf("%d: %v after %v", status, err, calls)
		}
	}
}

// TestWhatIsNoManifest is no success, whatever it is called.
func TestWhatIsNoManifest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ mediaType, body, want string }{
		{"text/html", "<html><title>Sign in</title>", "web page"},
		{"text/plain", "hello", `answers 200 with "text/plain", which is not a manifest`},
		{"application/octet-stream", "", "not valid JSON"},
		{"application/json", `{"token":"x"}`, "it is JSON, but not a manifest"},
		{"application/vnd.oci.image.manifest.v1+json", `{"schemaVersion":2,"layers":[]}`, "no configuration"},
		{"application/vnd.oci.image.index.v1+json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/x","digest":"sha256:12","size":1}]}`, "digest"},
	} {
		r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", test.mediaType)
			_, _ = io.WriteString(w, test.body)
		}))
		root := t.TempDir()
		r.Dir(t, root)
		res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)})
		check := func(what string, err error) {
			t.Helper()
			if !errors.As(err, new(*resolver.NotManifestError)) || !errdefs.IsDataLoss(err) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "prettyjws") {
				t.Errorf("%s, %s: %v", test.mediaType, what, err)
			}
		}
		// A HEAD whose headers are right is believed; what is fetched is not.
		if !strings.HasPrefix(test.mediaType, "application/vnd.") {
			_, _, err := res.Resolve(t.Context(), r.Host+"/app:1")
			check("resolved", err)
		}
		f, err := res.Fetcher(t.Context(), r.Host+"/app:1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = readAll(t, f, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(test.body), Size: 10})
		check("fetched", err)
		_, err = res.Open(t.Context(), r.Host+"/app", http.MethodGet, nil, "manifests", "1")
		check("opened", err)
	}
}

// TestPageBehindARedirectMovesOn: a front end sends whose certificate it
// refuses to a page.
func TestPageBehindARedirectMovesOn(t *testing.T) {
	t.Parallel()
	pages := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><title>Sign in</title>")
	}))
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	accepted := "charlie"
	r.Guard(func(w http.ResponseWriter, req *http.Request, client string) bool {
		if client == accepted {
			return false
		}
		http.Redirect(w, req, "https://"+pages.Host+"/login?for=secret", http.StatusFound)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo", "charlie")
	if err := pages.Servers.Write(r.Dir(t, root), "pages"); err != nil {
		t.Fatal(err)
	}
	hosts := newHosts(t, root)
	for range 2 {
		r.Calls()
		if _, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(t.Context(), r.Host+"/app:1"); err != nil {
			t.Fatal(err)
		}
	}
	if calls := r.Calls(); len(calls) != 1 || calls[0].Client != "charlie" {
		t.Errorf("the one that was accepted is not remembered: %v", calls)
	}
	for _, c := range pages.Calls() {
		if c.Client != "" || c.Header.Get("Authorization") != "" {
			t.Errorf("the page was sent %v", c)
		}
	}
	accepted = "nobody"
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	want := fmt.Sprintf("https://%s/v2/app/manifests/1 leads to https://%s/login?…, which answers 200 with \"text/html\"", r.Host, pages.Host)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "alpha.cert, bravo.cert, charlie.cert") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestContentEncoding: what a server says of a coding may be true, or a label on
// what is stored. The digest decides.
func TestContentEncoding(t *testing.T) {
	t.Parallel()
	small, large := []byte("small"), bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	for name, content := range map[string][]byte{"small": small, "large": large, "small gzip": zipped(small), "large gzip": zipped(large)} {
		for _, coding := range []string{"gzip", "x-gzip", "identity", "deflate, gzip"} {
			for _, packed := range []bool{false, true} {
				if packed && coding != "gzip" && coding != "x-gzip" {
					continue
				}
				sent := content
				if packed {
					sent = zipped(content)
				}
				r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.Header.Get("Accept-Encoding") != "identity" {
						t.Errorf("asked for %s", req.Header.Get("Accept-Encoding"))
					}
					w.Header().Set("Content-Encoding", coding)
					w.Header().Set("Content-Length", strconv.Itoa(len(sent)))
					_, _ = w.Write(sent)
				}))
				root := t.TempDir()
				r.Dir(t, root)
				res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
				f, err := res.Fetcher(t.Context(), r.Host+"/app:1")
				if err != nil {
					t.Fatal(err)
				}
				desc := ocispec.Descriptor{MediaType: "application/x", Digest: digest.FromBytes(content), Size: int64(len(content))}
				got, err := readAll(t, f, desc)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s as %s, packed %t: fetched %d bytes of %d: %v", name, coding, packed, len(got), len(content), err)
				}
				resp, err := res.Open(t.Context(), r.Host+"/app", http.MethodGet, nil, "blobs", desc.Digest.String())
				if err != nil {
					t.Errorf("%s as %s, packed %t: %v", name, coding, packed, err)
					continue
				}
				got, err = io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.Header.Get("Content-Encoding") != "" || err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s as %s, packed %t: opened %d bytes of %d: %v", name, coding, packed, len(got), len(content), err)
				}
			}
		}
	}
}

func zipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(b)
	_ = w.Close()
	return z.Bytes()
}

// TestLayersOfAManifestAreBlobs whatever their media type.
func TestLayersOfAManifestAreBlobs(t *testing.T) {
	t.Parallel()
	doc := []byte(`{"schemaVersion":2,"manifests":[]}`)
	for at, mediaType := range map[string]string{
		"blobs":     ocispec.MediaTypeImageIndex,
		"manifests": "application/vnd.oci.artifact.manifest.v1+json",
	} {
		r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !strings.Contains(req.URL.Path, "/"+at+"/") {
				http.NotFound(w, req)
				return
			}
			_, _ = w.Write(doc)
		}))
		root := t.TempDir()
		r.Dir(t, root)
		f, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Fetcher(t.Context(), r.Host+"/app:1")
		if err != nil {
			t.Fatal(err)
		}
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(doc), Size: int64(len(doc))}
		if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, doc) {
			t.Errorf("%s: %q %v", at, got, err)
		}
		desc.Digest = digest.FromString("another")
		r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool { http.NotFound(w, req); return true })
		if _, err := readAll(t, f, desc); !errdefs.IsNotFound(err) {
			t.Errorf("what is nowhere: %v", err)
		}
	}
}

// TestSchema1LayersAreAskedForByGet: a registry that knows no HEAD of blobs has
// them all the same, and one that is missing is asked for once.
func TestSchema1LayersAreAskedForByGet(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed} {
		r, _ := schema1Registry(t, "application/json", true)
		refuse := http.MethodHead
		r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
			if !strings.Contains(req.URL.Path, "/blobs/") || req.Method != refuse {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		root := t.TempDir()
		r.Dir(t, root)
		pull := func() error {
			_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)}).Resolve(t.Context(), r.Host+"/app:1")
			return err
		}
		if err := pull(); err != nil {
			t.Errorf("HEAD is %d: %v", status, err)
		}
		refuse = http.MethodGet
		if status != http.StatusNotFound {
			continue
		}
		r.Calls()
		if err := pull(); !errdefs.IsNotFound(err) {
			t.Errorf("without the blob: %v", err)
		}
		asked := map[string]int{}
		for _, c := range r.Calls() {
			if strings.Contains(c.Path, "/blobs/") {
				asked[c.Path]++
			}
		}
		for path, n := range asked {
			if n != 1 {
				t.Errorf("%s was asked for %d times", path, n)
			}
		}
	}
}
