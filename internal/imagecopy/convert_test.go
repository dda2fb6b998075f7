package imagecopy_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// archive is a Registry v1 behind client certificates with three tags. The
// first layer is in all of them.
type archive struct {
	*v1test.Server
	// bytes are those of its layers.
	bytes int64
}

func newArchive(t *testing.T, root string, quirks v1test.Quirks) archive {
	t.Helper()
	servers, clients := certtest.NewCA("servers"), certtest.NewCA("clients")
	a := archive{Server: v1test.New(v1test.Options{
		Quirks: quirks,
		TLS: &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool(),
		},
		Wrap: func(v1 http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/v2/") {
					http.NotFound(w, r)
					return
				}
				v1test.Certificates("bravo")(v1).ServeHTTP(w, r)
			})
		},
	})}
	t.Cleanup(a.Close)
	base := v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"base": "base"}))}
	a.bytes = int64(len(base.Data))
	for i := range 3 {
		tag := strconv.Itoa(i + 1)
		layer := v1test.Layer{Data: v1test.Tar(map[string]string{"tag": tag})}
		a.Add("library/app", tag, base, layer)
		a.bytes += int64(len(layer.Data))
	}
	dir := filepath.Join(root, a.Host)
	ok(t, os.MkdirAll(dir, 0o750))
	ok(t, servers.Write(dir, "ca"))
	for _, name := range []string{"alpha", "bravo"} {
		ok(t, clients.Client(name).Write(dir, name))
	}
	return a
}

// layers counts the requests for layers since the last call.
func (a archive) layers(since *int) int {
	n := 0
	for _, uri := range a.URIs() {
		if strings.HasPrefix(uri, "GET ") && strings.HasSuffix(uri, "/layer") {
			n++
		}
	}
	n, *since = n-*since, n
	return n
}

// converting is a copier from an archive, with a cache.
func converting(t *testing.T, target *registry, quirks ...v1test.Quirks) (*imagecopy.Copier, archive) {
	t.Helper()
	root := t.TempDir()
	target.dir(t, root)
	a := newArchive(t, root, append(quirks, v1test.Quirks{})[0])
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}}
	t.Cleanup(hosts.CloseIdleConnections)
	return &imagecopy.Copier{Hosts: hosts, Cache: &imagecopy.Cache{Dir: filepath.Join(t.TempDir(), "cache")}}, a
}

// cached are the files below the cache.
func cached(t *testing.T, c *imagecopy.Copier) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(c.Cache.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

func TestRegistryV1IsCopied(t *testing.T) {
	t.Parallel()
	target := newRegistry(t)
	c, a := converting(t, target)
	req := imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/app", AllTags: true}

	req.DryRun = true
	s := copied(t, c, req)
	if s.Count(imagecopy.Undecided) != 3 {
		t.Errorf("a dry run: %+v", s.Items)
	}
	if c := s.Counts; c.ToConvert != 4 || c.Unmeasured != 0 || c.ConvertBytes != a.bytes {
		t.Errorf("a dry run counts %+v, want 4 layers of %d bytes", c, a.bytes)
	}
	if files := cached(t, c); len(files) > 0 {
		t.Errorf("a dry run left %q", files)
	}
	req.DryRun = false
	asked := 0
	a.layers(&asked)
	s = copied(t, c, req)
	for _, tag := range []string{"1", "2", "3"} {
		ok(t, target.whole("app", tag))
	}
	if want := (imagecopy.Counts{Sent: 7}); s.Counts.Sent != want.Sent || s.Counts.Present != 0 {
		t.Errorf("%+v", s.Counts)
	}
	if n := a.layers(&asked); n != 4 {
		t.Errorf("%d layers were fetched, want 4", n)
	}
	if files := cached(t, c); len(files) > 0 {
		t.Errorf("left behind: %q", files)
	}

	target.log()
	again := copied(t, c, req)
	if again.Count(imagecopy.Identical) != 3 {
		t.Errorf("the second time: %+v", again.Items)
	}
	for _, line := range target.log() {
		if !strings.HasPrefix(line, "HEAD ") {
			t.Errorf("the second time: %s", line)
		}
	}
}

// TestKeptCache: a cache that is kept saves fetching layers again, also after
// a copy that failed.
func TestKeptCache(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]bool{"kept": true, "left after a failure": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := newRegistry(t)
			c, a := converting(t, target)
			c.Cache.Keep = keep
			req := imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/app", AllTags: true}
			if !keep {
				target.setFail(func(_ int, r *http.Request) int {
					if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/2") {
						return http.StatusForbidden
					}
					return 0
				})
			}
			s, err := c.Copy(t.Context(), req)
			ok(t, err)
			if failed := s.Count(imagecopy.Failed); failed > 0 == keep {
				t.Fatalf("%d failed: %+v", failed, s.Items)
			}
			asked := 0
			a.layers(&asked)
			target.setFail(nil)
			copied(t, c, req)
			if n := a.layers(&asked); n != 0 {
				t.Errorf("%d layers were fetched again", n)
			}
			if left := len(cached(t, c)) > 0; left != keep {
				t.Errorf("something is left: %v", left)
			}
		})
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	target := newRegistry(t)
	c, a := converting(t, target)
	c.Cache.Keep, c.Cache.Limit, c.Tags = true, 1, 1
	copied(t, c, imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/app", AllTags: true})
	for _, file := range cached(t, c) {
		if strings.Contains(file, "/blobs/") {
			t.Errorf("left: %s", file)
		}
	}
}

// TestCacheIsForOneCopyAtATime: the second one says so.
func TestCacheIsForOneCopyAtATime(t *testing.T) {
	t.Parallel()
	target := newRegistry(t)
	c, a := converting(t, target)
	req := imagecopy.Request{Source: a.Host + "/app:1", Target: target.Host + "/app"}
	inside := make(chan error, 1)
	c.Hooks.OnItem = func(imagecopy.Item) {
		second := *c
		second.Hooks = imagecopy.Hooks{}
		s, err := second.Copy(t.Context(), imagecopy.Request{Source: a.Host + "/app:2", Target: target.Host + "/app"})
		if err == nil {
			err = s.Items[0].Err
		}
		inside <- err
	}
	copied(t, c, req)
	if err := <-inside; err == nil || !strings.HasSuffix(err.Error(), ": another copy from this repository is using it") {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsConvertedWithoutACache(t *testing.T) {
	t.Parallel()
	target := newRegistry(t)
	c, a := converting(t, target)
	c.Cache = nil
	s, err := c.Copy(t.Context(), imagecopy.Request{Source: a.Host + "/app:1", Target: target.Host + "/app"})
	ok(t, err)
	if err := s.Items[0].Err; err == nil || !strings.Contains(err.Error(), "in Registry v1 only, and this client has no content store to convert images into") {
		t.Errorf("got %v", err)
	}
}

// TestDryRunEstimatesWhatIsConverted: by what came with the JSON, by HEAD where
// nothing did, and not at all where that says nothing. No layer is fetched.
func TestDryRunEstimatesWhatIsConverted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		quirks     v1test.Quirks
		fail       int
		unmeasured int
	}{
		{"announced", v1test.Quirks{}, 0, 0},
		{"asked for", v1test.Quirks{Size: v1test.SizeAbsent}, 0, 0},
		{"unknown", v1test.Quirks{Size: v1test.SizeAbsent}, http.StatusMethodNotAllowed, 4},
		{"said not to be there", v1test.Quirks{Size: v1test.SizeAbsent}, http.StatusNotFound, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := newRegistry(t)
			c, a := converting(t, target, tt.quirks)
			if tt.fail != 0 {
				a.Fail(v1test.Failure{Path: regexp.MustCompile("/layer$"), Status: tt.fail, Times: -1})
			}
			s := copied(t, c, imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/app", AllTags: true, DryRun: true})
			want := imagecopy.Counts{ToConvert: 4, Unmeasured: tt.unmeasured, ConvertBytes: a.bytes}
			if tt.unmeasured > 0 {
				want.ConvertBytes = 0
			}
			if s.Count(imagecopy.Undecided) != 3 || s.Counts != want {
				t.Errorf("%+v: %+v, want %+v", s.Items, s.Counts, want)
			}
			if n := a.layers(new(int)); n != 0 {
				t.Errorf("%d layers were fetched", n)
			}
		})
	}
}

// TestDamagedBlobOfACacheIsFetchedAgain: what an earlier copy left is read before
// it is relied on.
func TestDamagedBlobOfACacheIsFetchedAgain(t *testing.T) {
	t.Parallel()
	target := newRegistry(t)
	c, a := converting(t, target)
	c.Cache.Keep, c.Tags = true, 1
	copied(t, c, imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/app", AllTags: true})
	asked := 0
	a.layers(&asked)
	damaged := 0
	for _, file := range cached(t, c) {
		if !strings.Contains(file, "/blobs/sha256/") {
			continue
		}
		content, err := os.ReadFile(file)
		ok(t, err)
		content[len(content)/2] ^= 1
		ok(t, os.Chmod(file, 0o600))
		ok(t, os.WriteFile(file, content, 0o600))
		damaged++
	}
	if damaged == 0 {
		t.Fatal("nothing is in the cache")
	}
	copied(t, c, imagecopy.Request{Source: a.Host + "/app", Target: target.Host + "/again", AllTags: true})
	for _, tag := range []string{"1", "2", "3"} {
		ok(t, target.whole("again", tag))
	}
	if n := a.layers(&asked); n != 4 {
		t.Errorf("%d layers were fetched again, want 4", n)
	}
}
