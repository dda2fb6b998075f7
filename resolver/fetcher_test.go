package resolver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// layer is content with its descriptor.
func layer(size int) ([]byte, ocispec.Descriptor) {
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	return data, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// blobs serves one blob of the repository app, with ranges.
func blobs(data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/app/blobs/"+digest.FromBytes(data).String() {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
}

func newFetcher(t *testing.T, o resolver.Options, ref string) remotes.Fetcher {
	t.Helper()
	f, err := resolver.New(o).Fetcher(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFetchedContentCanBeResumed is what containerd's content store relies on
// for a layer of which it has a part.
func TestFetchedContentCanBeResumed(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	r := newRegistry(t, blobs(data))
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	f := newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1")
	checkResume(t, f, data, desc)
	calls := r.Calls()
	if got := calls[len(calls)-1].Header.Get("Range"); got != "bytes=1000-" {
		t.Errorf("the last request has the range %q", got)
	}
	byDigest, ok := f.(remotes.FetcherByDigest)
	if !ok {
		t.Fatalf("a %T fetches no digests", f)
	}
	rc, got, err := byDigest.FetchByDigest(t.Context(), desc.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if all, err := io.ReadAll(rc); err != nil || got.Size != desc.Size || !bytes.Equal(all, data) {
		t.Errorf("by digest: %d bytes, %+v: %v", len(all), got, err)
	}
	if _, ok := rc.(io.Seeker); !ok {
		t.Error("by digest it cannot be resumed")
	}
}

func checkResume(t *testing.T, f remotes.Fetcher, data []byte, desc ocispec.Descriptor) {
	t.Helper()
	rc, err := f.Fetch(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	s, ok := rc.(io.Seeker)
	if !ok {
		t.Fatalf("a %T cannot be resumed", rc)
	}
	if n, err := s.Seek(1000, io.SeekStart); n != 1000 || err != nil {
		t.Fatalf("at %d: %v", n, err)
	}
	if rest, err := io.ReadAll(rc); err != nil || !bytes.Equal(rest, data[1000:]) {
		t.Errorf("%d bytes from 1000 on: %v", len(rest), err)
	}
}

func TestReferrersAreFetched(t *testing.T) {
	t.Parallel()
	subject := digest.FromString("subject")
	want := []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/x", Digest: digest.FromString("signature"), Size: 9}}
	r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/v2/app/referrers/"+subject.String() {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		_ = json.NewEncoder(w).Encode(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: want})
	}))
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo")
	r.Only("bravo", http.StatusForbidden)
	f, ok := newFetcher(t, resolver.Options{Hosts: newHosts(t, root)}, r.Host+"/app:1").(remotes.ReferrersFetcher)
	if !ok {
		t.Fatal("referrers cannot be fetched")
	}
	got, err := f.FetchReferrers(t.Context(), subject)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestURLsOfADescriptorAreHostsOfTheirOwn: they get what their own directory
// says and nothing of the registry's. Where none has the content the registry
// is asked.
func TestURLsOfADescriptorAreHostsOfTheirOwn(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 16)
	for name, row := range map[string]struct {
		other        http.Handler
		fromRegistry bool
	}{
		"one that has it": {other: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		})},
		"one that knows no ranges": {other: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(data) })},
		"one that has it not":      {other: http.NotFoundHandler(), fromRegistry: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := newRegistry(t, row.other)
			other.Only("elsewhere", http.StatusForbidden)
			r := newRegistry(t, blobs(data))
			root := t.TempDir()
			privateDir(t, root, r, other)
			write(t, filepath.Join(other.Dir(t, root, "elsewhere"), "hosts.toml"),
				fmt.Sprintf("server = %q\n[header]\nX-Own = \"o\"\n", "https://"+other.Host))
			desc := desc
			desc.URLs = []string{"ftp://" + other.Host, "https://" + other.Host + "/layer?sig=x"}
			f := newFetcher(t, private(newHosts(t, root)), r.Host+"/app:1")
			checkResume(t, f, data, desc)
			if asked := len(r.Calls()) > 0; asked != row.fromRegistry {
				t.Errorf("the registry was asked: %v", asked)
			}
			calls := other.Calls()
			for i := range calls {
				if calls[i].Client != "elsewhere" || calls[i].Header.Get("X-Own") != "o" {
					t.Errorf("presented %q with %v", calls[i].Client, calls[i].Header)
				}
				calls[i].Client = ""
			}
			checkNothingPrivate(t, calls)
		})
	}
}

// brokenStore is a content store that cannot be read.
type brokenStore struct{ content.Store }

var errDisk = errors.New("input/output error")

func (brokenStore) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return nil, errDisk
}

func TestFetcherServesOnlyWhatTheStoreHasWhole(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 10)
	r := newRegistry(t, blobs(data))
	root := t.TempDir()
	r.Dir(t, root)
	store := newStore(t)
	f := newFetcher(t, resolver.Options{Hosts: newHosts(t, root), Store: store}, r.Host+"/app:1")

	w, err := content.OpenWriter(t.Context(), store, content.WithRef("half"), content.WithDescriptor(desc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data[:100]); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, data) || len(r.Calls()) == 0 {
		t.Errorf("half written: %d bytes, not from the registry: %v", len(got), err)
	}
	if _, err := w.Write(data[100:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), desc.Size, desc.Digest); err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, data) || len(r.Calls()) > 0 {
		t.Errorf("in the store: %d bytes, or not from there: %v", len(got), err)
	}

	f = newFetcher(t, resolver.Options{Hosts: newHosts(t, root), Store: brokenStore{}}, r.Host+"/app:1")
	if _, err := readAll(t, f, desc); !errors.Is(err, errDisk) || !strings.Contains(err.Error(), desc.Digest.String()) {
		t.Errorf("a store that cannot be read: %v", err)
	}
	f = newFetcher(t, resolver.Options{Hosts: newHosts(t, root), Store: brokenStore{}, IntoStore: true}, r.Host+"/app:1")
	if got, err := readAll(t, f, desc); err != nil || !bytes.Equal(got, data) || len(r.Calls()) == 0 {
		t.Errorf("what is pulled into that store: %d bytes, %v", len(got), err)
	}
}
