package pull_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// archive is a registry that only speaks v1.
type archive struct {
	*v1test.Server
	root string
}

func newArchive(t *testing.T) *archive {
	t.Helper()
	servers := certtest.NewCA("servers")
	a := &archive{root: t.TempDir(), Server: v1test.New(v1test.Options{
		Quirks: v1test.Python09(),
		TLS: &tls.Config{
			MinVersion:   tls.VersionTLS12,
			Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		},
	})}
	t.Cleanup(a.Close)
	dir := filepath.Join(a.root, a.Host)
	check(t, os.MkdirAll(dir, 0o700))
	check(t, servers.Write(dir, "ca"))
	return a
}

// request is a pull by a process that knows nothing yet.
func (a *archive) request(t *testing.T, name string) *pull.Request {
	t.Helper()
	ref, err := imageref.Parse(a.Host + "/" + name)
	check(t, err)
	hosts := &resolver.Hosts{Roots: certsd.Roots{a.root}}
	t.Cleanup(hosts.CloseIdleConnections)
	return &pull.Request{Ref: ref, Hosts: hosts}
}

func noise(t *testing.T, n int) []byte {
	t.Helper()
	data := make([]byte, n)
	_, err := rand.Read(data)
	check(t, err)
	return data
}

func TestRegistryV1(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.Add("library/app", "1",
		v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))},
		v1test.Layer{Data: v1test.Tar(map[string]string{"b": "2"})})
	dir := t.TempDir()
	var out bytes.Buffer
	req := a.request(t, "app:1")
	req.Progress = progress.New(&out, progress.Lines)
	first, err := pull.ToLayout(t.Context(), req, dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
	if n := strings.Count(out.String(), "  converted\n"); n != 2 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("shown was\n%s", &out)
	}

	// A later process knows the layers.
	before := len(a.Requests())
	second, err := pull.ToLayout(t.Context(), a.request(t, "app:1"), dir)
	check(t, err)
	for _, r := range a.Requests()[before:] {
		if strings.HasSuffix(r.URI, "/layer") {
			t.Errorf("the second pull asked %s", r.URI)
		}
	}
	other, err := pull.ToLayout(t.Context(), a.request(t, "app:1"), t.TempDir())
	check(t, err)
	if first.Target.Digest != second.Target.Digest || first.Target.Digest != other.Target.Digest {
		t.Errorf("pulled %s, %s, %s", first.Target.Digest, second.Target.Digest, other.Target.Digest)
	}
}

func TestInterruptedConversionIsResumed(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	data := v1test.Gzip(v1test.Tar(map[string]string{"a": string(noise(t, 400_000))}))
	a.Add("library/app", "1", v1test.Layer{Data: data})
	ctx, interrupt := context.WithCancel(t.Context())
	layer := regexp.MustCompile(`/layer$`)
	a.Fail(v1test.Failure{Path: layer, CutAfter: 200_000})
	a.Fail(v1test.Failure{Path: layer, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})})
	dir := filepath.Join(t.TempDir(), "app")
	_, err := pull.ToLayout(ctx, a.request(t, "app:1"), dir)
	var i *pull.InterruptedError
	if !errors.As(err, &i) || !i.Canceled || i.Dir != dir {
		t.Fatalf("got %v", err)
	}
	if named := entries(t, dir); named != nil {
		t.Errorf("the index names %v", named)
	}

	before := len(a.Requests())
	res, err := pull.ToLayout(t.Context(), a.request(t, "app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
	var asked []string
	for _, r := range a.Requests()[before:] {
		if strings.HasSuffix(r.URI, "/layer") {
			asked = append(asked, r.Header.Get("Range"))
		}
	}
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "bytes=") || asked[0] == "bytes=0-" {
		t.Errorf("the layer was asked for with Range %q", asked)
	}
	whole, err := pull.ToLayout(t.Context(), a.request(t, "app:1"), t.TempDir())
	check(t, err)
	if whole.Target.Digest != res.Target.Digest {
		t.Errorf("resumed %s, in one go %s", res.Target.Digest, whole.Target.Digest)
	}
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !os.IsNotExist(err) {
		t.Errorf("the ingest directory is left: %v", err)
	}
}

func TestSchema1(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	img := randomImage(t, 1000, 1)
	r.push(t, "old/app:1", img)
	layers, err := img.Layers()
	check(t, err)
	blob, err := layers[0].Digest()
	check(t, err)
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 1, "name": "old/app", "tag": "1", "architecture": "amd64",
		"fsLayers": []map[string]string{{"blobSum": blob.String()}},
		"history":  []map[string]string{{"v1Compatibility": `{"id":"` + strings.Repeat("a", 64) + `","os":"linux","architecture":"amd64","created":"2014-01-01T00:00:00Z"}`}},
	})
	check(t, err)
	r.Guard(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, "/v2/old/app/manifests/") {
			return false
		}
		w.Header().Set("Content-Type", string(types.DockerManifestSchema1))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(manifest).String())
		if req.Method == http.MethodGet {
			_, _ = w.Write(manifest)
		}
		return true
	})
	dir := t.TempDir()
	res, err := pull.ToLayout(t.Context(), r.request(t, "old/app:1"), dir)
	check(t, err)
	complete(t, dir, entries(t, dir)["1"])
	if res.Target.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("got %+v", res)
	}
}
