package pull_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/ocilayout"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/internal/pull"
)

func TestToLayout(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	img := mutate.MediaType(randomImage(t, 1000, 3), types.OCIManifestSchema1)
	r.push(t, "team/app:1", img)
	dir := filepath.Join(t.TempDir(), "app")
	res, err := pull.ToLayout(t.Context(), r.request(t, "team/app:1"), dir)
	check(t, err)
	if got, want := res.Target.Digest.String(), digestOf(t, img); got != want {
		t.Errorf("pulled %s, want %s", got, want)
	}
	named := entries(t, dir)
	complete(t, dir, named["1"])
	if len(named) != 1 || named["1"].Digest != res.Target.Digest || named["1"].Annotations["io.containerd.image.name"] != r.Host+"/team/app:1" {
		t.Errorf("the index has %v", named)
	}
	if diff := cmp.Diff([]string{"index.json", "oci-layout"}, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !os.IsNotExist(err) {
		t.Errorf("the ingest directory is left: %v", err)
	}
}

func TestWhatIsThereIsNotFetched(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.push(t, "app:1", randomImage(t, 1000, 3))
	dir := t.TempDir()
	first, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	r.Calls()
	var out bytes.Buffer
	req := r.request(t, "app:1")
	req.Progress = progress.New(&out, progress.Lines)
	second, err := pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	if first.Target.Digest != second.Target.Digest {
		t.Errorf("first %v, then %v", first, second)
	}
	for _, c := range r.Calls() {
		if c.Method != http.MethodHead {
			t.Errorf("the second pull asked %s %s", c.Method, c.Path)
		}
	}
	if n := strings.Count(out.String(), "already there\n"); n != 3 {
		t.Errorf("shown was\n%s", &out)
	}
	// A blob that lost its end is fetched again.
	layers := blobsOfSize(t, dir, 1000)
	check(t, os.Chmod(layers[0], 0o600))
	check(t, os.Truncate(layers[0], 10))
	_, err = pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
}

// blobsOfSize are the blobs of at least so many bytes.
func blobsOfSize(t *testing.T, dir string, atLeast int64) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	check(t, err)
	var list []string
	for _, path := range all {
		info, err := os.Stat(path)
		check(t, err)
		if info.Size() >= atLeast {
			list = append(list, path)
		}
	}
	return list
}

func TestLayoutIsAddedTo(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	dir := t.TempDir()
	for _, tag := range []string{"1", "2"} {
		r.push(t, "app:"+tag, randomImage(t, 100, 2))
		_, err := pull.ToLayout(t.Context(), r.request(t, "app:"+tag), dir)
		check(t, err)
	}
	before := entries(t, dir)
	r.push(t, "app:2", randomImage(t, 100, 2))
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:2"), dir)
	check(t, err)
	after := entries(t, dir)
	if len(before) != 2 || len(after) != 2 || before["1"].Digest != after["1"].Digest || before["2"].Digest == after["2"].Digest {
		t.Errorf("before %v, after %v", before, after)
	}
	complete(t, dir, after["1"])
	complete(t, dir, after["2"])

	r.push(t, "other:2", randomImage(t, 100, 2))
	_, err = pull.ToLayout(t.Context(), r.request(t, "other:2"), dir)
	want := dir + ": has " + r.Host + `/app:2 under the tag "2" already: name another directory for ` + r.Host + "/other"
	if !errors.As(err, new(*ocilayout.UnusableError)) || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestFailureLeavesNoTrace(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	parent := t.TempDir()
	_, err := pull.ToLayout(t.Context(), r.request(t, "nothing:1"), filepath.Join(parent, "app"))
	if err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(parent)
	check(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// half sends the first half of each large blob and then cuts the connection.
func half(r *testRegistry) func(w http.ResponseWriter, req *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
			return false
		}
		rec := &recorded{header: http.Header{}}
		r.own.ServeHTTP(rec, req)
		if rec.body.Len() < 10_000 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(rec.body.Len()))
		_, _ = w.Write(rec.body.Bytes()[:rec.body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

type recorded struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorded) WriteHeader(int)             {}

// ranges makes the registry answer Range requests, which that of
// go-containerregistry does not.
func ranges(own http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		from, ok := strings.CutPrefix(req.Header.Get("Range"), "bytes=")
		start, err := strconv.Atoi(strings.TrimSuffix(from, "-"))
		if !ok || err != nil {
			own.ServeHTTP(w, req)
			return
		}
		rec := &recorded{header: http.Header{}}
		whole := req.Clone(req.Context())
		whole.Header.Del("Range")
		own.ServeHTTP(rec, whole)
		body := rec.body.Bytes()
		w.Header().Set("Content-Range", "bytes "+strconv.Itoa(start)+"-"+strconv.Itoa(len(body)-1)+"/"+strconv.Itoa(len(body)))
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-start))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body[start:])
	})
}

func TestInterruptedPullIsResumed(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.own = ranges(r.own)
	const size = 300_000
	img := mutate.MediaType(randomImage(t, size, 1), types.OCIManifestSchema1)
	r.push(t, "app:1", img)
	dir := filepath.Join(t.TempDir(), "app")

	// The connection is lost in the middle of the layer. The request for the
	// rest shows that the half has arrived: then comes Ctrl-C.
	ctx, interrupt := context.WithCancel(t.Context())
	cut := half(r)
	r.Guard(func(w http.ResponseWriter, req *http.Request) bool {
		if req.Header.Get("Range") == "" {
			return cut(w, req)
		}
		interrupt()
		<-req.Context().Done()
		return true
	})
	_, err := pull.ToLayout(ctx, r.request(t, "app:1"), dir)
	want := "interrupted\n-> what has arrived is kept in " + dir + ": run the same command again to go on from there"
	if !errors.As(err, new(*pull.InterruptedError)) || err.Error() != want || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if named := entries(t, dir); named != nil {
		t.Errorf("the index names %v", named)
	}
	first := sent(r.Calls())

	r.Guard(nil)
	var out bytes.Buffer
	req := r.request(t, "app:1")
	req.Hosts = r.newHosts(t)
	req.Progress = progress.New(&out, progress.Lines)
	res, err := pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	if got, want := res.Target.Digest.String(), digestOf(t, img); got != want {
		t.Errorf("pulled %s, want %s", got, want)
	}
	complete(t, dir, entries(t, dir)["1"])
	calls := r.Calls()
	second := sent(calls)
	if total := first + second; total > size+20_000 {
		t.Errorf("%d bytes were sent, then %d, for a layer of %d", first, second, size)
	}
	if !resumes(calls) {
		t.Errorf("no Range request: %+v", calls)
	}
	if !strings.Contains(out.String(), "resumed at 14") {
		t.Errorf("shown was\n%s", &out)
	}
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !os.IsNotExist(err) {
		t.Errorf("the ingest directory is left: %v", err)
	}
}

func resumes(calls []call) bool {
	for _, c := range calls {
		if strings.HasPrefix(c.Range, "bytes=") && c.Range != "bytes=0-" && c.Status == http.StatusPartialContent {
			return true
		}
	}
	return false
}

// isLayer reports whether a request is for a large blob.
func isLayer(r *testRegistry, req *http.Request) bool {
	if req.Method != http.MethodGet || !strings.Contains(req.URL.Path, "/blobs/") {
		return false
	}
	rec := &recorded{header: http.Header{}}
	r.own.ServeHTTP(rec, req.Clone(req.Context()))
	return rec.body.Len() > 10_000
}

func TestLostConnectionIsSaidToBeResumable(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.push(t, "app:1", randomImage(t, 300_000, 1))
	r.Guard(half(r))
	dir := filepath.Join(t.TempDir(), "app")
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	var i *pull.InterruptedError
	if !errors.As(err, &i) || i.Canceled || !strings.HasSuffix(err.Error(), "-> what has arrived is kept in "+dir+": run the same command again to go on from there") {
		t.Errorf("got %v", err)
	}
	if named := entries(t, dir); named != nil {
		t.Errorf("the index names %v", named)
	}
}

func TestWrongContentIsRefused(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.push(t, "app:1", randomImage(t, 300_000, 1))
	r.Guard(func(w http.ResponseWriter, req *http.Request) bool {
		if !isLayer(r, req) {
			return false
		}
		rec := &recorded{header: http.Header{}}
		r.own.ServeHTTP(rec, req)
		body := rec.body.Bytes()
		body[1000] ^= 1
		_, _ = w.Write(body)
		return true
	})
	dir := filepath.Join(t.TempDir(), "app")
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	if err == nil || !strings.Contains(err.Error(), "the server sent other content than this digest names") ||
		!strings.HasSuffix(err.Error(), "nothing of it was kept: ask the registry's owner, or try another mirror") {
		t.Errorf("got %v", err)
	}
	if named := entries(t, dir); named != nil || len(blobsOfSize(t, dir, 100_000)) > 0 {
		t.Errorf("kept: %v, %v", named, blobsOfSize(t, dir, 100_000))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "ingest", "*")); len(left) > 0 {
		t.Errorf("kept: %v", left)
	}
	// With the registry mended the pull goes through.
	r.Guard(nil)
	_, err = pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
}

func TestRemainsThatAreSpoiltAreFetchedAgain(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.own = ranges(r.own)
	r.push(t, "app:1", randomImage(t, 300_000, 1))
	dir := filepath.Join(t.TempDir(), "app")
	r.Guard(half(r))
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	if err == nil {
		t.Fatal("the pull was not cut")
	}
	r.Guard(nil)
	parts, err := filepath.Glob(filepath.Join(dir, "ingest", "*", "data"))
	check(t, err)
	spoilt := 0
	for _, part := range parts {
		if info, err := os.Stat(part); err != nil || info.Size() < 100_000 {
			continue
		}
		f, err := os.OpenFile(part, os.O_WRONLY, 0)
		check(t, err)
		_, err = f.WriteAt([]byte("spoilt"), 100)
		check(t, errors.Join(err, f.Close()))
		spoilt++
	}
	if spoilt != 1 {
		t.Fatalf("parts: %v", parts)
	}
	_, err = pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
}

// TestServerThatKnowsNoRanges holds that a pull is not stuck with a half that
// its server cannot complete: go-containerregistry's registry answers 416.
func TestServerThatKnowsNoRanges(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.push(t, "app:1", randomImage(t, 300_000, 1))
	dir := filepath.Join(t.TempDir(), "app")
	r.Guard(half(r))
	if _, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir); err == nil {
		t.Fatal("the pull was not cut")
	}
	r.Guard(nil)
	_, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
}

func TestDockerManifestsBecomeOCI(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	img := randomImage(t, 1000, 2)
	r.push(t, "app:1", img)
	dir := t.TempDir()
	res, err := pull.ToLayout(t.Context(), r.request(t, "app:1"), dir)
	check(t, err)
	if res.Resolved.Digest.String() != digestOf(t, img) || res.Target.Digest == res.Resolved.Digest || res.Target.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("got %+v", res)
	}
	complete(t, dir, entries(t, dir)["1"])

	for name, change := range map[string]func(*pull.Request){
		"by flag":   func(r *pull.Request) { r.PreserveDigests = true },
		"by digest": func(r *pull.Request) { r.Ref = r.Ref.WithDigest(res.Resolved.Digest) },
	} {
		req := r.request(t, "app:1")
		change(req)
		kept, err := pull.ToLayout(t.Context(), req, t.TempDir())
		check(t, err)
		if kept.Target.Digest.String() != digestOf(t, img) {
			t.Errorf("%s: got %+v", name, kept)
		}
	}
}
