package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// contents are the digests of an image as the gateway serves it.
func (g *testGateway) contents(tb testing.TB, host, repository string, manifest digest.Digest) []digest.Digest {
	tb.Helper()
	var m ocispec.Manifest
	must(tb, json.Unmarshal(g.do(tb, http.MethodGet, "/v2/"+repository+"/manifests/"+manifest.String()+"?ns="+host).body, &m))
	list := []digest.Digest{manifest, m.Config.Digest}
	for _, l := range m.Layers {
		list = append(list, l.Digest)
	}
	return list
}

// TestAnotherPortIsAnotherRegistry: what one server's image was converted to is
// not the other's to give.
func TestAnotherPortIsAnotherRegistry(t *testing.T) {
	t.Parallel()
	a, b := newArchive(t), newArchive(t)
	a.add("library/app", "1")
	g := newGateway(t, nil, a, b)
	manifest := g.pull(t, a.Host, "library/app", "1")
	for _, d := range g.contents(t, a.Host, "library/app", manifest.Digest) {
		for _, kind := range []string{"manifests", "blobs"} {
			got := g.do(t, http.MethodGet, "/v2/library/app/"+kind+"/"+d.String()+"?ns="+b.Host)
			// Which is b's answer.
			if got.status != http.StatusNotFound {
				t.Errorf("%s %s: %d, %d bytes", kind, d, got.status, len(got.body))
			}
		}
	}
}

// TestConversionOfAnotherPortIsNotWaitedFor: the same image by name, which one
// server does not come to an end with.
func TestConversionOfAnotherPortIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	stalled, sound := newArchive(t), newArchive(t)
	stalled.add("library/app", "1")
	sound.add("library/app", "1")
	hold := make(chan struct{})
	stalled.Fail(v1test.Failure{Path: regexp.MustCompile(`/layer$`), Wait: hold, Times: -1})
	g := newGateway(t, func(o *options) { o.Patience = time.Second }, stalled, sound)
	path := "/v2/library/app/manifests/1?ns="
	if got := g.do(t, http.MethodGet, path+stalled.Host); got.status != http.StatusTooManyRequests {
		t.Errorf("got %d %s", got.status, got.body)
	}
	g.pull(t, sound.Host, "library/app", desc(t, g, path+sound.Host).String())
	close(hold)
	g.handler.flights.wait.Wait()
}

// TestAnotherSchemeIsAnotherRegistry: what came in plain HTTP is forgotten once
// TLS is spoken with the same name.
func TestAnotherSchemeIsAnotherRegistry(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	hosts := filepath.Join(g.handler.upstreams.hosts.Roots[0], a.Host, "hosts.toml")
	must(t, os.WriteFile(hosts, []byte("server = \"http://127.0.0.2:1\"\n"), 0o600))
	from, err := g.handler.upstreams.resolverFor(&target{host: a.Host, repository: "library/app"}).fetch.Source(a.Host + "/library/app")
	must(t, err)
	info, err := g.store.Store.Info(t.Context(), manifest.Digest)
	must(t, err)
	if from.Scheme != "http" || from.Left(info) || from.Made(info) {
		t.Errorf("%+v is taken for the source of what came over TLS", from)
	}
}

// TestBlobOfManyRepositories: containerd's label of a blob is a list that has an
// end.
func TestBlobOfManyRepositories(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	var names []string
	for i := range 220 {
		names = append(names, fmt.Sprintf("some/repository%03d", i))
	}
	full := strings.Join(names, ",")
	for _, d := range g.contents(t, a.Host, "library/app", manifest.Digest) {
		set, err := g.store.labels.Get(d)
		must(t, err)
		set[labels.LabelDistributionSource+".127.0.0.1"] = full
		must(t, g.store.labels.Set(d, set))
	}
	// The same image under another name.
	for _, img := range []string{"library/second", "team/third"} {
		a.Add(img, "1", v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"etc/name": "library/app:1"}))})
		g.pull(t, a.Host, img, "1")
	}
	g.pull(t, a.Host, "library/app", manifest.Digest.String())
}

// TestStoreOfBefore the source had a label of its own is converted again.
func TestStoreOfBefore(t *testing.T) {
	t.Parallel()
	a, g, manifest := newConverted(t)
	for _, d := range g.contents(t, a.Host, "library/app", manifest.Digest) {
		set, err := g.store.labels.Get(d)
		must(t, err)
		for key := range set {
			if strings.HasPrefix(key, "certsd/v1-from.") {
				delete(set, key)
			}
		}
		must(t, g.store.labels.Set(d, set))
	}
	g.pull(t, a.Host, "library/app", manifest.Digest.String())
	from, err := g.handler.upstreams.resolverFor(&target{host: a.Host, repository: "library/app"}).fetch.Source(a.Host + "/library/app")
	must(t, err)
	for _, d := range g.contents(t, a.Host, "library/app", manifest.Digest) {
		info, err := g.store.Store.Info(t.Context(), d)
		must(t, err)
		if !from.Left(info) {
			t.Errorf("%s was served as it was", d)
		}
	}
}
