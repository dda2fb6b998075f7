package resolver_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestTryPush: an upload begins with the scope of a push, and is taken back
// where the registry has it, by its own escapes and with its token there alone.
func TestTryPush(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	note := func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, fmt.Sprintf("%s %s %q", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization")))
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note(r)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer elsewhere.Close()
	location := "1%2F2?state=a%2Bb"
	var registry *httptest.Server
	registry = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = fmt.Fprintf(w, `{"token":%q}`, strings.Join(r.URL.Query()["scope"], " "))
			return
		}
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+registry.URL+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		note(r)
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Location", location)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer registry.Close()
	host := strings.TrimPrefix(registry.URL, "http://")
	const token = `"Bearer repository:team/app:pull,push"`
	try := func() error {
		return resolver.New(resolver.Options{Hosts: newHosts(t, t.TempDir()), PlainHTTP: true}).TryPush(t.Context(), host+"/team/app")
	}
	for _, tt := range []struct{ location, deleted string }{
		{"1%2F2?state=a%2Bb", "DELETE /v2/team/app/blobs/uploads/1%2F2?state=a%2Bb " + token},
		{elsewhere.URL + "/up/1?x", `DELETE /up/1?x ""`},
	} {
		location = tt.location
		if err := try(); err != nil {
			t.Fatalf("%s: %v", tt.location, err)
		}
		mu.Lock()
		want := []string{"POST /v2/team/app/blobs/uploads/ " + token, tt.deleted}
		if !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		asked = nil
		mu.Unlock()
	}
	elsewhere.Close()
	location = elsewhere.URL + "/up/1?secret"
	var left *resolver.UploadLeftError
	if err := try(); !errors.As(err, &left) || strings.Contains(err.Error(), "secret") {
		t.Errorf("of an upload that is left: %v", err)
	}
}
