package gateway

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/ulikunitz/xz"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// noise is a layer of about n bytes that does not compress.
func noise(n int) v1test.Layer {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	return v1test.Layer{Data: v1test.Tar(map[string]string{"etc/noise": string(text)})}
}

// onDisk is what the store takes, in bytes.
func (g *testGateway) onDisk(tb testing.TB) (size int64) {
	tb.Helper()
	must(tb, filepath.Walk(filepath.Join(g.store.dir, "content"), func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			size += info.Size()
		}
		return err
	}))
	return size
}

// TestConversionThatDoesNotFit is given up before it has filled the disk, and
// leaves nothing.
func TestConversionThatDoesNotFit(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.Add("library/large", "1", noise(40<<10), noise(200<<10), noise(40<<10))
	// Of xz the plain layer is stored: a hundred times what comes.
	a.Add("library/bomb", "1", v1test.Layer{Data: xzOfZeros(t, 8<<20)})
	a.add("library/small", "1")
	g := newGateway(t, nil, a)
	g.store.room.limit = 100 << 10
	for _, name := range []string{"large", "bomb", "large", "bomb"} {
		got := g.do(t, http.MethodGet, "/v2/library/"+name+"/manifests/1?ns="+a.Host)
		if got.status != http.StatusInsufficientStorage || !strings.Contains(string(got.body), "raise store_size") {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
		g.handler.flights.wait.Wait()
		if size := g.onDisk(t); size != 0 {
			t.Errorf("%s: %d bytes are left", name, size)
		}
	}
	g.pull(t, a.Host, "library/small", "1")
}

// xzOfZeros is a layer in xz that is all zeros when it is unpacked.
func xzOfZeros(t *testing.T, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestRoomIsMadeForAConversion by what nobody has asked for in a while: the limit
// holds at each moment.
func TestRoomIsMadeForAConversion(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	for _, name := range []string{"one", "two", "three"} {
		a.Add("library/"+name, "1", noise(40<<10))
	}
	g := newGateway(t, nil, a)
	g.store.room.limit = 100 << 10
	g.pull(t, a.Host, "library/one", "1")
	g.pull(t, a.Host, "library/two", "1")
	three := "/v2/library/three/manifests/1?ns=" + a.Host
	if got := g.do(t, http.MethodGet, three); got.status != http.StatusInsufficientStorage {
		t.Errorf("in place of what was just asked for: %d", got.status)
	}
	g.handler.flights.wait.Wait()
	g.age(t, 2*time.Minute)
	g.pull(t, a.Host, "library/three", "1")
	if size := g.onDisk(t); size > g.store.room.limit || size == 0 {
		t.Errorf("%d bytes", size)
	}
}

// TestWhatIsReadStays, with all of its image.
func TestWhatIsReadStays(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	g.handler.flights.wait.Wait()
	contents := g.contents(t, a.Host, "library/app", manifest.Digest)
	g.store.room.limit = 1
	for _, d := range contents {
		done := g.store.holds.reads(d)
		g.age(t, time.Hour)
		if freed, err := g.store.room.evict(t.Context()); freed != 0 || err != nil {
			t.Errorf("while %s is read %d bytes go, %v", d, freed, err)
		}
		done()
		if freed, err := g.store.room.evict(t.Context()); freed != 0 || err != nil {
			t.Errorf("when %s has just been read %d bytes go, %v", d, freed, err)
		}
	}
	g.age(t, time.Hour)
	if freed, err := g.store.room.evict(t.Context()); freed == 0 || err != nil {
		t.Errorf("freed %d, %v", freed, err)
	}
	if size := g.onDisk(t); size != 0 {
		t.Errorf("%d bytes are left", size)
	}
}

// TestSlowReaderKeepsItsImage, however long ago it asked: others that need the room
// do not get it, and what it asks for next is there.
func TestSlowReaderKeepsItsImage(t *testing.T) {
	t.Parallel()
	for name, wanted := range map[string]string{"all of a blob": "", "the rest of one": "bytes=1-"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.Add("library/app", "1", noise(20<<10), noise(16<<20)) // more than is under way in a connection
			a.Add("library/other", "1", noise(20<<10))
			g := newGateway(t, nil, a)
			contents := g.contents(t, a.Host, "library/app", g.pull(t, a.Host, "library/app", "1").Digest)
			g.handler.flights.wait.Wait()
			path := func(d digest.Digest) string {
				return "/v2/library/app/blobs/" + d.String() + "?ns=" + a.Host
			}
			var large digest.Digest
			var size int64
			for _, d := range contents {
				info, err := g.store.Store.Info(t.Context(), d)
				must(t, err)
				if info.Size > size {
					large, size = d, info.Size
				}
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+path(large), nil)
			must(t, err)
			req.Header.Set(tokenHeader, g.secret)
			verifier := large.Verifier()
			if wanted != "" {
				req.Header.Set("Range", wanted)
				_, err = verifier.Write(g.do(t, http.MethodGet, path(large), "Range", "bytes=0-0").body)
				must(t, err)
			}
			resp, err := g.Client().Do(req)
			must(t, err)
			defer resp.Body.Close()
			_, err = io.CopyN(verifier, resp.Body, 1)
			must(t, err)

			g.age(t, time.Hour)
			g.store.room.limit = g.onDisk(t)
			if got := g.do(t, http.MethodGet, "/v2/library/other/manifests/1?ns="+a.Host); got.status != http.StatusInsufficientStorage {
				t.Errorf("another image, for which there is no room: %d", got.status)
			}
			g.handler.flights.wait.Wait()
			g.store.room.limit = 1
			if freed, err := g.store.room.evict(t.Context()); freed != 0 || err != nil {
				t.Errorf("%d bytes go, %v", freed, err)
			}
			if _, err := io.Copy(verifier, resp.Body); err != nil || !verifier.Verified() {
				t.Errorf("the reader does not get what it asked for: %v", err)
			}
			for _, d := range contents[1:] {
				if got := g.do(t, http.MethodGet, path(d)); got.status != http.StatusOK || digest.FromBytes(got.body) != d {
					t.Errorf("%s of the image: %d %.200s", d, got.status, got.body)
				}
			}
		})
	}
}

// TestLeftoversGo when they are old, when their room is needed, and when the disk
// is full, also after a restart.
func TestLeftoversGo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		age  time.Duration
		make func(s *imageStore)
		left bool
	}{
		"young":      {time.Minute, func(s *imageStore) { _, _ = s.room.evict(t.Context()) }, true},
		"old":        {25 * time.Hour, func(s *imageStore) { _, _ = s.room.evict(t.Context()) }, false},
		"needed":     {time.Minute, func(s *imageStore) { s.room.limit = 1; _, _ = s.room.evict(t.Context()) }, false},
		"a full one": {0, func(s *imageStore) { s.room.dropLeftovers(t.Context()) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, g, manifest := newConverted(t)
			g.handler.flights.wait.Wait()
			// As after a crash: the layers are there, and the manifest is not.
			must(t, g.store.Delete(t.Context(), manifest.Digest))
			g.age(t, tt.age)
			part := filepath.Join(g.store.dir, "content", "ingest", digest.FromString("part").Encoded())
			must(t, os.MkdirAll(part, 0o700))
			then := time.Now().Add(-tt.age)
			for file, text := range map[string]string{"ref": "part", "data": "half", "total": "8", "startedat": then.Format(time.RFC3339), "updatedat": then.Format(time.RFC3339)} {
				must(t, os.WriteFile(filepath.Join(part, file), []byte(text), 0o600))
				must(t, os.Chtimes(filepath.Join(part, file), then, then))
			}
			must(t, g.store.Close())
			s, err := openStore(g.store.dir, 0)
			must(t, err)
			tt.make(s)
			for _, of := range []string{"blobs/sha256/*", "ingest/*"} {
				left, err := filepath.Glob(filepath.Join(g.store.dir, "content", of))
				must(t, err)
				if len(left) != 0 != tt.left {
					t.Errorf("%s: %q are left", of, left)
				}
			}
			must(t, s.Close())
		})
	}
}
