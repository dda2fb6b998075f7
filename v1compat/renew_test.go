package v1compat

import (
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// TestEndedTokenIsReplaced in the middle of a pull, once for each that ends.
func TestEndedTokenIsReplaced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	indexed, valid := 0, true
	index := regexp.MustCompile(`^/v1/repositories/.*/images$`)
	srv := v1test.New(v1test.Options{Wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case index.MatchString(r.URL.Path):
				indexed++
				w.Header().Set("X-Docker-Token", "t"+strconv.Itoa(indexed))
			case r.URL.Path != "/v1/_ping" && (!valid || r.Header.Get("Authorization") != "Token t"+strconv.Itoa(indexed)):
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	t.Cleanup(srv.Close)
	c := clientOf(t, srv)
	srv.Add("a/b", "latest", v1test.Layer{Data: []byte(digits)})
	img, err := c.Image(t.Context(), "a/b", "latest")
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	indexed++ // the token ends
	mu.Unlock()
	if got := string(layerBytes(t, img.Entries[0])); got != digits {
		t.Errorf("layer %q", got)
	}
	mu.Lock()
	before := indexed
	valid = false
	mu.Unlock()
	if _, err := img.Entries[0].Open(t.Context(), 0); status(err) != http.StatusUnauthorized {
		t.Errorf("error %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if before != 3 || indexed != 4 {
		t.Errorf("tokens asked for: %d, then %d", before-1, indexed-before)
	}
}

// TestPartThatCannotGoOnStartsOver is answered with 206 from byte 4 on, but not
// with the rest.
func TestPartThatCannotGoOnStartsOver(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ contentRange, body string }{
		"unreadable":           {"nonsense", digits[4:]},
		"backwards":            {"bytes 4-3/10", digits[4:]},
		"no bytes":             {"bytes 4-9/10", ""},
		"no bytes, unreadable": {"bytes", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _, e := opened(t, v1test.Quirks{}, digits)
			srv.Fail(v1test.Failure{Path: regexp.MustCompile("/layer$"), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Range", row.contentRange)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write([]byte(row.body))
				_ = http.NewResponseController(w).Flush()
			})})
			stream, got, err := read(t, e, 4)
			if err != nil {
				t.Fatal(err)
			}
			if stream.Start != 0 || got != digits {
				t.Errorf("%q from %d on", got, stream.Start)
			}
		})
	}
}
