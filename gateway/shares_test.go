package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestNoRegistryHasAllPlaces, however many hold what they have.
func TestNoRegistryHasAllPlaces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		size int
		want []int
	}{
		{64, []int{32, 16, 8, 4, 2, 1, 1, 0}},
		{6, []int{3, 2, 1, 0}},
		{2, []int{1, 1, 0}},
		{1, []int{1, 0}},
	} {
		s := newShares(tt.size)
		for i, want := range tt.want {
			who, got := string(rune('a'+i)), 0
			for s.tryAcquire(who) {
				got++
			}
			if got != want {
				t.Errorf("of %d: %s takes %d, want %d", tt.size, who, got, want)
			}
		}
	}
}

func TestPlacesAreGivenInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShares(4)
		for _, who := range []string{"a", "a", "b"} {
			must(t, s.acquire(t.Context(), who))
		}
		order := make(chan string, 4)
		ctx, cancel := context.WithCancel(t.Context())
		for _, who := range []string{"a", "gone", "c"} {
			ctx := ctx
			if who != "gone" {
				ctx = t.Context()
			}
			if who == "gone" {
				// Only c is left a place.
				must(t, s.acquire(t.Context(), "c"))
			}
			go func() {
				err := s.acquire(ctx, who)
				if who == "gone" && !errors.Is(err, context.Canceled) || who != "gone" && err != nil {
					t.Errorf("%s: %v", who, err)
				}
				order <- who
			}()
			synctest.Wait()
		}
		cancel()
		if got := <-order; got != "gone" {
			t.Errorf("%s goes on", got)
		}
		// a has more than its share: c is next, when c gives one back.
		s.release("c")
		if got := <-order; got != "c" {
			t.Errorf("%s is next", got)
		}
		s.release("a")
		s.release("a")
		if got := <-order; got != "a" {
			t.Errorf("%s is next", got)
		}
		for _, who := range []string{"a", "b", "c"} {
			s.release(who)
		}
		if s.all != 0 || len(s.held) != 0 || len(s.waiting) != 0 {
			t.Errorf("%d places are held by %v", s.all, s.held)
		}
	})
}

// TestStalledRegistryStarvesNoOther, neither of requests nor of conversions.
func TestStalledRegistryStarvesNoOther(t *testing.T) {
	t.Parallel()
	o := newOldImages(map[string][]byte{"one": smallLayer("one"), "two": smallLayer("two"), "three": smallLayer("three")})
	stalled, sound := newUpstream(t, o), newUpstream(t, newOldImages(map[string][]byte{"app": smallLayer("app")}))
	stalled.answers(onBlobs(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		if r.Method == http.MethodGet {
			part := 1 // enough for a conversion to wait for more, not for a client to see any
			if strings.Contains(r.URL.Path, someDigest) {
				part = 900_000
			}
			_, _ = w.Write(make([]byte, part))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	g := newGateway(t, func(o *options) { o.MaxUpstream, o.MaxDownloads, o.Patience = 8, 2, time.Second }, stalled, sound)
	for _, name := range []string{"one", "two", "three"} {
		if got := g.do(t, http.MethodGet, "/v2/"+name+"/manifests/1?ns="+stalled.host); got.status != http.StatusTooManyRequests {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	for range 8 {
		resp := g.open(t, "/v2/one/blobs/"+someDigest+"?ns="+stalled.host, "Range", "bytes=0-")
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
	}
	g.pull(t, sound.host, "app", desc(t, g, "/v2/app/manifests/1?ns="+sound.host).String())
}
