package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestManyPullsAtATime(t *testing.T) {
	t.Parallel()
	const images, pulls, most = 10, 200, 16
	u := newUpstream(t, nil)
	for i := range images {
		u.push(t, fmt.Sprintf("team/app%d:1", i), 2)
	}
	var now, peak atomic.Int64
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		n := now.Add(1)
		defer now.Add(-1)
		for old := peak.Load(); n > old; old = peak.Load() {
			peak.CompareAndSwap(old, n)
		}
		u.images.ServeHTTP(w, r)
		return true
	})
	g := newGateway(t, func(o *options) { o.MaxUpstream = most }, u)
	var group errgroup.Group
	c := &child{url: g.URL, secret: g.secret, transport: &http.Transport{}}
	defer c.transport.CloseIdleConnections()
	for i := range pulls {
		group.Go(func() error {
			_, err := c.pull(t.Context(), u.host, fmt.Sprintf("team/app%d", i%images), "1")
			return err
		})
	}
	must(t, group.Wait())
	if n := peak.Load(); n > most {
		t.Errorf("%d requests to the registry at a time, want at most %d", n, most)
	}
}

// TestWrongSecretsLockNobodyOut tries ten thousand, and the right one in between.
func TestWrongSecretsLockNobodyOut(t *testing.T) {
	t.Parallel()
	s, err := ownSecret(t.TempDir())
	must(t, err)
	right, err := s.Value()
	must(t, err)
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range 2500 {
				wrong := fmt.Sprintf("%d-%d", worker, i)
				if i%3 == 0 {
					wrong = right[:len(right)-1] + strings.Repeat("x", i%2)
				}
				if s.matches(t.Context(), wrong) {
					t.Errorf("%q is right", wrong)
				}
				if i%100 == 0 && !s.matches(t.Context(), right) {
					t.Error("the right one is wrong")
				}
			}
		})
	}
	wait.Wait()
	for _, wrong := range []string{"", " ", right + " ", right + "\n", strings.ToUpper(right), right + right} {
		if s.matches(t.Context(), wrong) {
			t.Errorf("%q is right", wrong)
		}
	}
}

func BenchmarkWrongSecret(b *testing.B) {
	s, err := ownSecret(b.TempDir())
	must(b, err)
	right, err := s.Value()
	must(b, err)
	for name, presented := range map[string]string{"right": right, "first letter wrong": "!" + right[1:], "last letter wrong": right[1:] + "!", "long": strings.Repeat("x", 8000)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.matches(b.Context(), presented)
			}
		})
	}
}
