package resolver_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestPairReplacedInTheMiddleOfAPullIsUsed keeps the fetcher that was made
// before: containerd makes one for a whole pull.
func TestPairReplacedInTheMiddleOfAPullIsUsed(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 12)
	r := newRegistry(t, blobs(data))
	r.Only("old", http.StatusForbidden)
	root := t.TempDir()
	dir := r.Dir(t, root)
	rename := func(name string) {
		if err := r.Clients.Client(name).Write(dir, "client"); err != nil {
			t.Fatal(err)
		}
		// The time of a file on this disk may not be fine enough.
		later := time.Now().Add(time.Second)
		for _, file := range []string{"client.cert", "client.key"} {
			if err := os.Chtimes(filepath.Join(dir, file), later, later); err != nil {
				t.Fatal(err)
			}
		}
	}
	rename("old")
	f := newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1")
	if _, err := readAll(t, f, desc); err != nil {
		t.Fatal(err)
	}
	rename("new")
	r.Only("new", http.StatusForbidden)
	if _, err := readAll(t, f, desc); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"old", "new"}, clients(r.Calls())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConversionsTakeTheDownloadLimitOnce: containerd's fetcher takes it for
// the layers of a schema 1 manifest. Whoever took it twice would wait for ever.
func TestConversionsTakeTheDownloadLimitOnce(t *testing.T) {
	t.Parallel()
	r, _ := schema1Registry(t, "application/vnd.docker.distribution.manifest.v1+json", true)
	a := newArchive(t, nil)
	root := t.TempDir()
	r.Dir(t, root)
	a.dir(t, root)
	limiter := semaphore.NewWeighted(1)
	for name, ref := range map[string]string{"schema 1": r.Host + "/app:1", "Registry v1": a.Host + "/app:1"} {
		res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)})
		res.SetOptions(transfer.WithDownloadLimiter(limiter), transfer.WithMaxConcurrentDownloads(3))
		if _, _, err := res.Resolve(t.Context(), ref); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !limiter.TryAcquire(1) {
			t.Errorf("%s: the limit was not given back", name)
			continue
		}
		limiter.Release(1)
	}
}

// TestRegistryV1ObeysTheDownloadLimit: there is nobody else to do so.
func TestRegistryV1ObeysTheDownloadLimit(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	root := t.TempDir()
	a.dir(t, root)
	taken := semaphore.NewWeighted(1)
	if !taken.TryAcquire(1) {
		t.Fatal("not free")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t)})
	res.SetOptions(transfer.WithDownloadLimiter(taken))
	if _, _, err := res.Resolve(ctx, a.Host+"/app:1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n := a.asked("/layer"); n > 0 {
		t.Errorf("%d layers were asked for beyond the limit", n)
	}
}

// endAt ends a context when the API root is asked.
type endAt struct {
	next http.RoundTripper
	end  context.CancelFunc
}

func (e *endAt) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/v2/" {
		e.end()
	}
	return e.next.RoundTrip(req)
}

// TestWhoHasNoTimeIsNotToldThatNothingIsThere: the registry was about to be asked
// in the v1 protocol.
func TestWhoHasNoTimeIsNotToldThatNothingIsThere(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	root := t.TempDir()
	a.dir(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	res := resolver.New(resolver.Options{Hosts: newHosts(t, root), Store: newStore(t), UpdateClient: func(c *http.Client) error {
		c.Transport = &endAt{c.Transport, cancel}
		return nil
	}})
	if _, _, err := res.Resolve(ctx, a.Host+"/app:1"); !errors.Is(err, context.Canceled) || errdefs.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}
