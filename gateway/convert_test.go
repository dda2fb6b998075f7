package gateway

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// pull fetches all of an image and verifies it, as any client would.
func (g *testGateway) pull(tb testing.TB, host, repository, tag string) ocispec.Descriptor {
	tb.Helper()
	path := "/v2/" + repository + "/manifests/" + tag + "?ns=" + host
	a := g.do(tb, http.MethodGet, path)
	if a.status != http.StatusOK {
		tb.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	desc := ocispec.Descriptor{MediaType: a.header.Get("Content-Type"), Digest: digest.FromBytes(a.body), Size: int64(len(a.body))}
	if got := a.header.Get("Docker-Content-Digest"); got != desc.Digest.String() {
		tb.Fatalf("%s: digest %s, want %s", path, got, desc.Digest)
	}
	var manifest ocispec.Manifest
	must(tb, json.Unmarshal(a.body, &manifest))
	for _, blob := range append(manifest.Layers, manifest.Config) {
		a := g.do(tb, http.MethodGet, "/v2/"+repository+"/blobs/"+blob.Digest.String()+"?ns="+host)
		if a.status != http.StatusOK || a.err != nil || digest.FromBytes(a.body) != blob.Digest || int64(len(a.body)) != blob.Size {
			tb.Fatalf("blob %s: %d, %d bytes, %v: %.200s", blob.Digest, a.status, len(a.body), a.err, a.body)
		}
	}
	return desc
}

// newConverted is a gateway that has converted library/app:1.
func newConverted(t *testing.T) (a *archive, g *testGateway, manifest ocispec.Descriptor) {
	t.Helper()
	a = newArchive(t)
	a.add("library/app", "1")
	g = newGateway(t, nil, a)
	return a, g, g.pull(t, a.Host, "library/app", "1")
}

func TestRegistryV1IsConvertedOnce(t *testing.T) {
	t.Parallel()
	a, g, desc := newConverted(t)
	if desc.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("media type %s", desc.MediaType)
	}
	if n := a.layers(); n != 3 {
		t.Errorf("%d layers were asked for, want 3", n)
	}
	if again := g.pull(t, a.Host, "library/app", "1"); again.Digest != desc.Digest {
		t.Errorf("the second pull gives %s, want %s", again.Digest, desc.Digest)
	}
	// By digest, as containerd goes on, nobody else has to be asked.
	before := len(a.Requests())
	g.pull(t, a.Host, "library/app", desc.Digest.String())
	if n := len(a.Requests()) - before; n != 0 {
		t.Errorf("%d requests for what is stored", n)
	}
	if n := a.layers(); n != 3 {
		t.Errorf("%d layers were asked for in all, want 3", n)
	}
	// Another repository has nothing of it.
	if got := g.do(t, http.MethodGet, "/v2/library/other/manifests/"+desc.Digest.String()+"?ns="+a.Host); got.status != http.StatusNotFound {
		t.Errorf("in another repository: %d", got.status)
	}
}

func TestStoredBlobsHaveRanges(t *testing.T) {
	t.Parallel()
	a, g, desc := newConverted(t)
	path := "/v2/library/app/blobs/" + desc.Digest.String() + "?ns=" + a.Host
	whole := g.do(t, http.MethodGet, path)
	for _, tt := range []struct {
		wanted, contentRange string
		status               int
		body                 string
	}{
		{"", "", 200, string(whole.body)},
		{"bytes=0-9", "bytes 0-9/", 206, string(whole.body[:10])},
		{"bytes=0-", "bytes 0-", 206, string(whole.body)},
		{"bytes=-4", "bytes ", 206, string(whole.body[len(whole.body)-4:])},
		{"bytes=0-1,3-4", "", 200, string(whole.body)},
		{"bytes=999999-", "bytes */", 416, ""},
	} {
		got := g.do(t, http.MethodGet, path, "Range", tt.wanted)
		if got.status != tt.status || !strings.HasPrefix(got.header.Get("Content-Range"), tt.contentRange) || tt.status < 300 && string(got.body) != tt.body {
			t.Errorf("%s: %d, %q, %q", tt.wanted, got.status, got.header.Get("Content-Range"), got.body)
		}
	}
	if got := g.do(t, http.MethodGet, path, "If-None-Match", `"`+desc.Digest.String()+`"`); got.status != http.StatusNotModified {
		t.Errorf("If-None-Match: %d", got.status)
	}
}

func TestConversionIsSharedAndOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.add("library/app", "1")
	hold := make(chan struct{})
	a.Fail(v1test.Failure{Path: regexp.MustCompile(`/layer$`), Wait: hold, Times: -1})
	g := newGateway(t, func(o *options) { o.Patience = time.Second }, a)
	path := "/v2/library/app/manifests/1?ns=" + a.Host
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			got := g.do(t, http.MethodGet, path)
			if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "5" ||
				!regexp.MustCompile(`"code":"TOOMANYREQUESTS","message":"127\.0\.0\.1:\d+/library/app:1 is not ready yet: converting for \d+s.*; the work continues in the background, ask again"`).Match(got.body) {
				t.Errorf("got %d %v %s", got.status, got.header, got.body)
			}
		})
	}
	wait.Wait()
	close(hold)
	g.handler.flights.wait.Wait()
	g.pull(t, a.Host, "library/app", desc(t, g, path).String())
	if n := a.layers(); n != 3 {
		t.Errorf("%d layers were asked for, want 3", n)
	}
}

// desc waits for a conversion as clients do: by asking again.
func desc(tb testing.TB, g *testGateway, path string) digest.Digest {
	tb.Helper()
	for {
		got := g.do(tb, http.MethodHead, path)
		switch got.status {
		case http.StatusOK:
			return digest.Digest(got.header.Get("Docker-Content-Digest"))
		case http.StatusTooManyRequests:
		default:
			tb.Fatalf("%s: %d", path, got.status)
		}
	}
}

func TestFailedConversionIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.add("library/app", "1")
	a.Fail(v1test.Failure{Path: regexp.MustCompile(`/layer$`), Times: -1, Status: http.StatusForbidden})
	g := newGateway(t, nil, a)
	got := g.do(t, http.MethodGet, "/v2/library/app/manifests/1?ns="+a.Host)
	if got.status != http.StatusForbidden || !strings.Contains(string(got.body), `"code":"DENIED"`) || !strings.Contains(string(got.body), a.Host) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	b := newArchive(t)
	b.add("library/app", "1")
	b.Fail(v1test.Failure{Path: regexp.MustCompile(`/layer$`), Status: http.StatusForbidden})
	g = newGateway(t, nil, b)
	if got := g.do(t, http.MethodGet, "/v2/library/app/manifests/1?ns="+b.Host); got.status != http.StatusForbidden {
		t.Errorf("got %d %s", got.status, got.body)
	}
	g.pull(t, b.Host, "library/app", "1")
}

// TestDamagedStoreIsNeverServed, whole or in part, and heals also for those who
// pull by digest.
func TestDamagedStoreIsNeverServed(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	blobs, err := filepath.Glob(filepath.Join(g.store.dir, "content", "blobs", "sha256", "*"))
	must(t, err)
	for _, file := range blobs {
		d := "sha256:" + filepath.Base(file)
		for _, tt := range []struct{ kind, wanted string }{{"blobs", ""}, {"blobs", "bytes=0-1"}, {"blobs", "bytes=5-"}, {"manifests", ""}} {
			if tt.kind == "manifests" && d != manifest.Digest.String() {
				continue
			}
			damage(t, file)
			got := g.do(t, http.MethodGet, "/v2/library/app/"+tt.kind+"/"+d+"?ns="+a.Host, "Range", tt.wanted)
			if got.status < 300 && got.err == nil {
				t.Errorf("%s %s %s: %d bytes were served", tt.kind, d, tt.wanted, len(got.body))
			}
			if _, err := os.Stat(file); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", d, err)
			}
			g.pull(t, a.Host, "library/app", manifest.Digest.String())
		}
	}
}

func damage(tb testing.TB, file string) {
	tb.Helper()
	content, err := os.ReadFile(file)
	must(tb, err)
	content[len(content)/2] ^= 1
	must(tb, os.Chmod(file, 0o600))
	must(tb, os.WriteFile(file, content, 0o600))
}

// TestDamagedImageWhoseTagHasMoved cannot be had by its digest any more, and
// nobody is told that it can.
func TestDamagedImageWhoseTagHasMoved(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	a.Add("library/app", "1", v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"etc/other": "image"}))})
	blobs, err := filepath.Glob(filepath.Join(g.store.dir, "content", "blobs", "sha256", "*"))
	must(t, err)
	for _, file := range blobs {
		if d := digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(file)); d != manifest.Digest {
			must(t, os.Remove(file))
		}
	}
	path := "/v2/library/app/manifests/" + manifest.Digest.String() + "?ns=" + a.Host
	if got := g.do(t, http.MethodHead, path); got.status != http.StatusNotFound {
		t.Errorf("got %d", got.status)
	}
	got := g.do(t, http.MethodGet, path)
	for _, want := range []string{codeManifestUnknown, "@" + manifest.Digest.String() + " is not stored any more, and " + a.Host + "/library/app:1, which it was converted from, is now sha256:"} {
		if !strings.Contains(string(got.body), want) {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
}

func TestEvictionTakesTheLeastRecentlyUsedImage(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	g := newGateway(t, nil, a)
	images := map[string]ocispec.Descriptor{}
	for _, name := range []string{"one", "two", "three"} {
		a.add("library/"+name, "1")
		images[name] = g.pull(t, a.Host, "library/"+name, "1")
	}
	if freed, err := g.store.room.evict(t.Context()); freed != 0 || err != nil {
		t.Errorf("without a limit: %d, %v", freed, err)
	}
	g.handler.flights.wait.Wait()
	g.store.room.limit = 1
	if freed, err := g.store.room.evict(t.Context()); freed != 0 || err != nil {
		t.Errorf("what was just asked for: %d, %v", freed, err)
	}
	// An hour passes, and the oldest image is asked for again.
	g.age(t, time.Hour)
	g.pull(t, a.Host, "library/one", images["one"].Digest.String())
	// One conversion relies on the second.
	ctx, release := g.store.holds.withPins(t.Context())
	_, err := g.store.Info(ctx, images["two"].Digest)
	must(t, err)
	if freed, err := g.store.room.evict(t.Context()); freed == 0 || err != nil {
		t.Errorf("freed %d, %v", freed, err)
	}
	for name, left := range map[string]bool{"one": true, "two": true, "three": false} {
		if _, err := g.store.Store.Info(t.Context(), images[name].Digest); (err == nil) != left {
			t.Errorf("%s: %v", name, err)
		}
	}
	g.pull(t, a.Host, "library/one", images["one"].Digest.String())
	release()
	if freed, err := g.store.room.evict(t.Context()); freed == 0 || err != nil {
		t.Errorf("freed %d, %v", freed, err)
	}
	labels, err := filepath.Glob(filepath.Join(g.store.dir, "labels", "*", "*"))
	must(t, err)
	blobs, err := filepath.Glob(filepath.Join(g.store.dir, "content", "blobs", "*", "*"))
	must(t, err)
	if len(labels) != len(blobs) || len(blobs) != 4 {
		t.Errorf("%d blobs with %d labels are left, want the 4 of one image", len(blobs), len(labels))
	}
	g.store.room.limit = 0
	g.pull(t, a.Host, "library/two", "1")
}

// age makes what is stored look older.
func (g *testGateway) age(tb testing.TB, by time.Duration) {
	tb.Helper()
	blobs, err := filepath.Glob(filepath.Join(g.store.dir, "content", "blobs", "*", "*"))
	must(tb, err)
	then := time.Now().Add(-by)
	for _, file := range blobs {
		must(tb, os.Chtimes(file, then, then))
		d := digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(file))
		labels, err := g.store.labels.Get(d)
		must(tb, err)
		delete(labels, labelUsed)
		must(tb, g.store.labels.Set(d, labels))
	}
	g.store.holds.mu.Lock()
	defer g.store.holds.mu.Unlock()
	clear(g.store.holds.used)
}

func TestOneProcessPerStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openStore(dir, 0)
	must(t, err)
	if _, err := openStore(dir, 0); err == nil || err.Error() != dir+"/lock: another gateway uses this directory: resource temporarily unavailable" {
		t.Errorf("got %v", err)
	}
	must(t, s.Close())
	s, err = openStore(dir, 0)
	must(t, err)
	must(t, s.Close())
}
