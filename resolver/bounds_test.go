package resolver_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/resolver"
)

// impatient are hosts that wait for a byte for a moment only.
func impatient(tb testing.TB, root string) *resolver.Hosts {
	hosts := newHosts(tb, root)
	hosts.Patience = 200 * time.Millisecond
	return hosts
}

// stalls answers the first n requests for a path ending with the beginning of
// the content and then keeps silent.
func stalls(n int, suffix string, data []byte) func(http.ResponseWriter, *http.Request, string) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, req *http.Request, _ string) bool {
		mu.Lock()
		stall := req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, suffix) && n > 0
		if stall {
			n--
		}
		mu.Unlock()
		if !stall {
			return false
		}
		at := 0
		status := http.StatusOK
		if span, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes="); ok {
			at, _ = strconv.Atoi(strings.TrimSuffix(span, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(data)-1, len(data)))
			status = http.StatusPartialContent
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)-at))
		w.WriteHeader(status)
		_, _ = w.Write(data[at : at+1000])
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		return true
	}
}

// TestContentThatStopsIsResumed fetches what stops twice in the middle.
func TestContentThatStopsIsResumed(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	r := newRegistry(t, blobs(data))
	r.Guard(stalls(2, desc.Digest.String(), data))
	root := t.TempDir()
	r.Dir(t, root)
	f := newFetcher(t, resolver.Options{Hosts: impatient(t, root)}, r.Host+"/app:1")
	if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	var ranges []string
	for _, c := range r.Calls() {
		if c.Method == http.MethodGet {
			ranges = append(ranges, c.Header.Get("Range"))
		}
	}
	if got := fmt.Sprint(ranges); got != "[ bytes=1000- bytes=2000-]" {
		t.Errorf("ranges %s", got)
	}
}

// begins answers each GET with the header for data, and leaves the rest to serve.
func begins(data []byte, serve func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if req.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		serve(w, req)
		return true
	}
}

// TestContentThatNeverComesFails and says so.
func TestContentThatNeverComesFails(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	r := newRegistry(t, blobs(data))
	r.Guard(begins(data, func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	}))
	root := t.TempDir()
	r.Dir(t, root)
	f := newFetcher(t, resolver.Options{Hosts: impatient(t, root)}, r.Host+"/app:1")
	_, err := readAll(t, f, desc)
	if err == nil || !strings.Contains(err.Error(), r.Host+" sent nothing for 200ms") {
		t.Errorf("error %v", err)
	}
}

// TestContentThatDripsEnds without the rest being asked for, which would drip as
// well.
func TestContentThatDripsEnds(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	r := newRegistry(t, blobs(data))
	r.Guard(begins(data, func(w http.ResponseWriter, req *http.Request) {
		for i := range 1000 {
			if _, err := w.Write(data[i : i+1]); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(50 * time.Millisecond):
			case <-req.Context().Done():
				return
			}
		}
		t.Error("it is read for as long as it drips")
		panic(http.ErrAbortHandler)
	}))
	root := t.TempDir()
	r.Dir(t, root)
	hosts := impatient(t, root)
	hosts.Patience = 500 * time.Millisecond // ten times what is between two bytes
	f := newFetcher(t, resolver.Options{Hosts: hosts}, r.Host+"/app:1")
	_, err := readAll(t, f, desc)
	if err == nil || !strings.Contains(err.Error(), r.Host+" sent ") || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("error %v", err)
	}
	gets := 0
	for _, c := range r.Calls() {
		if c.Method == http.MethodGet {
			gets++
		}
	}
	if gets != 1 {
		t.Errorf("asked for %d times", gets)
	}
}

// TestLayerThatStopsDoesNotHoldAConversion of a schema 1 image.
func TestLayerThatStopsDoesNotHoldAConversion(t *testing.T) {
	t.Parallel()
	r, _ := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", true)
	var mu sync.Mutex
	stop := true
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		mu.Lock()
		defer mu.Unlock()
		if !stop || req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		stop = false
		rec := httptest.NewRecorder()
		r.Images.ServeHTTP(rec, req)
		w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
		_, _ = w.Write(rec.Body.Bytes()[:10])
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		return true
	})
	root := t.TempDir()
	r.Dir(t, root)
	res := resolver.New(resolver.Options{Hosts: impatient(t, root), Store: newStore(t)})
	if _, _, err := res.Resolve(t.Context(), r.Host+"/app:1"); err != nil {
		t.Error(err)
	}
}

// TestManifestThatStopsFails names the registry.
func TestManifestThatStopsFails(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(context.Context, *resolver.Resolver, string) error{
		"resolve": ways["resolve"],
		"tags": func(ctx context.Context, res *resolver.Resolver, host string) error {
			_, err := res.Tags(ctx, host+"/app")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				if req.Method == http.MethodHead { // without a digest: the manifest itself is read
					return true
				}
				_, _ = io.WriteString(w, "{")
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
				return true
			})
			root := t.TempDir()
			r.Dir(t, root)
			err := ask(t.Context(), resolver.New(resolver.Options{Hosts: impatient(t, root)}), r.Host)
			if err == nil || !strings.Contains(err.Error(), r.Host+" sent nothing for 200ms") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestTokenIsBounded is given a token of 64 MiB in 64 KiB of gzip.
func TestTokenIsBounded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.WriteString(z, `{"token":"`)
	for range 64 {
		_, _ = z.Write(bytes.Repeat([]byte("a"), 1<<20))
	}
	_, _ = io.WriteString(z, `"}`)
	_ = z.Close()
	for _, encoding := range []string{"gzip", ""} {
		for name, ask := range ways {
			t.Run(name+" "+encoding, func(t *testing.T) {
				t.Parallel()
				r, _, res := withTokens(t, func(w http.ResponseWriter, _ *http.Request) {
					if encoding != "" {
						w.Header().Set("Content-Encoding", encoding)
						_, _ = w.Write(bomb.Bytes())
						return
					}
					_, _ = io.WriteString(w, `{"token":"`+strings.Repeat("a", 2<<20)+`"}`)
				}, resolver.Options{})
				err := ask(t.Context(), res, r.Host)
				if err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes of a token") {
					t.Errorf("error %.500v", err)
				}
			})
		}
	}
}

// TestHeadersAreBounded is answered with more of them than anybody has.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			r.Guard(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				w.Header().Set("Link", strings.Repeat("a", 128<<10))
				return true
			})
			root := t.TempDir()
			r.Dir(t, root)
			err := ask(t.Context(), resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host)
			if err == nil || !strings.Contains(err.Error(), "headers exceeded") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestURLsInPlainHTTPArePassedOver for an image of a registry behind TLS.
func TestURLsInPlainHTTPArePassedOver(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	asked := make(chan string, 8)
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { asked <- req.URL.Path }))
	defer plain.Close()
	turn := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, plain.URL+"/redirected", http.StatusFound)
	}))
	r := newRegistry(t, blobs(data))
	root := t.TempDir()
	r.Dir(t, root)
	turn.Dir(t, root)
	desc.URLs = []string{plain.URL + "/layer", "HTTP" + strings.TrimPrefix(plain.URL, "http") + "/upper", "https://" + turn.Host + "/turn"}
	f := newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1")
	if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
	select {
	case path := <-asked:
		t.Errorf("asked in plain HTTP for %s", path)
	default:
	}
}

// TestRateLimitIsWaitedFor by containerd's requests and the resolver's own, for
// tokens and for manifests.
func TestRateLimitIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			busy := map[string]int{}
			limited := func(w http.ResponseWriter, what string) bool {
				mu.Lock()
				defer mu.Unlock()
				busy[what]++
				if busy[what]%2 == 0 {
					return false
				}
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}
			tokens := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if !limited(w, "token") {
					giveToken(w)
				}
			}))
			r := newRegistry(t, nil)
			r.Push(t, "app:1", 1)
			r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				if req.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
					w.WriteHeader(http.StatusUnauthorized)
					return true
				}
				return limited(w, "manifest")
			})
			root := t.TempDir()
			r.Dir(t, root)
			tokens.Dir(t, root)
			if err := ask(t.Context(), resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if busy["token"] != 2 || busy["manifest"] != 2 {
				t.Errorf("requests: %v", busy)
			}
		})
	}
}
