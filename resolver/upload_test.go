package resolver_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// upload begins to push a layer.
func upload(t *testing.T, p remotes.Pusher, data []byte) (content.Writer, ocispec.Descriptor) {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
	w, err := p.Push(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	return w, desc
}

// TestUploadThatIsGivenUp ends its request, whatever has been sent of it: no
// goroutine waits for the rest when all tests have ended.
func TestUploadThatIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	arrived := make(chan bool, 1)
	r.Guard(func(_ http.ResponseWriter, req *http.Request, _ string) bool {
		if req.Method == http.MethodPut {
			arrived <- true
		}
		return false
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	p, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Pusher(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	for sent := range 3 {
		w, _ := upload(t, p, bytes.Repeat([]byte{byte(sent)}, 1<<20))
		<-arrived
		if sent > 0 {
			if _, err := w.Write(make([]byte, (sent-1)<<19)); err != nil {
				t.Error(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestUploadWithoutAToken fails where the registry wants to know who is there only
// when the content comes, and its token server has nothing for anybody.
func TestUploadWithoutAToken(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	ready := make(chan struct{})
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		switch {
		case req.URL.Path == "/token":
			w.WriteHeader(http.StatusServiceUnavailable)
		case req.Method == http.MethodPut:
			<-ready // all are begun
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		default:
			return false
		}
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
	type begun struct {
		content.Writer
		data []byte
		desc ocispec.Descriptor
	}
	var uploads []begun
	for i := range 8 {
		p, err := res.Pusher(t.Context(), r.Host+"/app:1")
		if err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte{byte(i)}, 1<<20)
		w, desc := upload(t, p, data)
		uploads = append(uploads, begun{w, data, desc})
	}
	close(ready)
	var all sync.WaitGroup
	for _, u := range uploads {
		all.Go(func() {
			if err := content.Copy(t.Context(), u, bytes.NewReader(u.data), u.desc.Size, u.desc.Digest); err == nil || !strings.Contains(err.Error(), "503") {
				t.Errorf("%v", err)
			}
			_ = u.Close()
		})
	}
	ended, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		all.Wait()
		cancel()
	}()
	if <-ended.Done(); ended.Err() != context.Canceled {
		t.Fatal("an upload waits for ever")
	}
}
