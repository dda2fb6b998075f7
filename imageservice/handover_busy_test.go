package imageservice

import (
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// TestPullsAtOnce share layers, on whichever way each of them comes.
func TestPullsAtOnce(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	base, err := random.Image(64<<10, 2)
	must(t, err)
	refs := map[string]v1.Image{"team/a:1": nil, "team/b:1": nil, "team/c:1": nil, "team/d:1": nil, "team/e:1": nil}
	for ref := range refs {
		own, err := random.Layer(64<<10, "application/vnd.docker.image.rootfs.diff.tar.gzip")
		must(t, err)
		image, err := mutate.AppendLayers(base, own)
		must(t, err)
		n.registry.pushImage(t, ref, image)
		refs[ref] = image
	}
	_, client := n.serve(t)
	var pulls sync.WaitGroup
	for ref, image := range refs {
		pulls.Go(func() {
			if id, err := n.pull(t.Context(), client, ref, nil); err != nil || id != idOf(t, image) {
				t.Errorf("%s: got %s, %v", ref, id, err)
			}
		})
	}
	pulls.Wait()
	asked := map[string]int{}
	for _, a := range n.registry.blobs() {
		if asked[a.path]++; a.method == http.MethodGet && strings.Contains(a.path, "/team/a/") && asked[a.path] > 1 {
			t.Errorf("%s was fetched %d times", a.path, asked[a.path])
		}
	}
	for ref := range refs {
		n.image(t, n.registry.host+"/"+ref)
	}
	if got := len(n.snapshots(t)); got != 2+len(refs) {
		t.Errorf("%d snapshots", got)
	}
	if left := n.leases(t); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
}

// TestABusyTransferService is not waited for: its downloads may be of a slow registry. Its
// verifiers are asked all the same.
func TestABusyTransferService(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	n.registry.push(t, "team/app:1")
	n.registry.push(t, "team/app:2")
	s, client := n.serve(t)
	s.target.loopback.requests.Add(defaultDownloads)
	_, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	n.whole(t, n.registry.host+"/team/app:1")
	s.target.loopback.requests.Add(-1)
	_, err = n.pull(t.Context(), client, "team/app:2", nil)
	must(t, err)
	n.came(t, overSocket, overLoopback)
	if got := n.v2.verified(); len(got) != 2 {
		t.Errorf("the verifier was asked about %v", got)
	}
}

// TestAPullThatWaitsForOthers: containerd makes fewer downloads at a time than is known
// here, and the one that it makes does not go on. Another image takes the other way.
func TestAPullThatWaitsForOthers(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{downloads: 1})
	n.options.Settings.DaemonConfig = (&transferring{}).write(t) // which is not so
	n.registry.push(t, "team/slow:1")
	n.registry.push(t, "team/app:1")
	held, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	n.registry.setGuard(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/team/slow/blobs/") {
			once.Do(func() { close(held) })
			<-goOn
		}
		return false
	})
	s, client := n.serve(t)
	s.target.loopback.longestWait = 20 * time.Millisecond
	slow := make(chan error, 1)
	go func() {
		_, err := n.pull(t.Context(), client, "team/slow:1", nil)
		slow <- err
	}()
	<-held
	_, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	close(goOn)
	must(t, <-slow)
	n.came(t, overSocket, overLoopback)
	for _, ref := range []string{"/team/app:1", "/team/slow:1"} {
		n.image(t, n.registry.host+ref)
	}
	if left := n.leases(t); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
}

// TestStoppedDuringAPull: nothing is left that would lead containerd here.
func TestStoppedDuringAPull(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	n.registry.push(t, "team/app:1")
	began := make(chan struct{})
	var once sync.Once
	n.registry.setGuard(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		once.Do(func() { close(began) })
		<-r.Context().Done()
		return true
	})
	s, client := n.serve(t)
	failed := make(chan error, 1)
	go func() {
		_, err := n.pull(t.Context(), client, "team/app:1", nil)
		failed <- err
	}()
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Stop(ctx)
	if err := <-failed; err == nil {
		t.Error("it was pulled")
	}
	n.came(t, "")
	if _, err := os.Stat(n.options.HostsDir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", n.options.HostsDir, err)
	}
	if left := n.leases(t); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
}
