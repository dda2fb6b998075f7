package imageservice

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestContainerdAsksNobodyElse: whichever part of an image has urls, containerd does not
// follow them.
func TestContainerdAsksNobodyElse(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(m *ocispec.Manifest, entry *ocispec.Descriptor) *ocispec.Descriptor{
		"the configuration": func(m *ocispec.Manifest, _ *ocispec.Descriptor) *ocispec.Descriptor { return &m.Config },
		"a layer":           func(m *ocispec.Manifest, _ *ocispec.Descriptor) *ocispec.Descriptor { return &m.Layers[1] },
		"the manifest":      func(_ *ocispec.Manifest, entry *ocispec.Descriptor) *ocispec.Descriptor { return entry },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodeWith(t, &transferring{})
			var visits atomic.Int64
			elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				visits.Add(1)
				http.NotFound(w, r)
			}))
			t.Cleanup(elsewhere.Close)
			body, err := n.registry.push(t, "team/app:1").RawManifest()
			must(t, err)
			m, entry := ocispec.Manifest{}, ocispec.Descriptor{}
			must(t, json.Unmarshal(body, &m))
			part := at(&m, &entry)
			part.URLs = []string{elsewhere.URL + "/latest/meta-data"}
			body, err = json.Marshal(m)
			must(t, err)
			entry.MediaType, entry.Digest, entry.Size = m.MediaType, digest.FromBytes(body), int64(len(body))
			index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{on(here, entry)}})
			must(t, err)
			n.registry.setGuard(func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case strings.HasSuffix(r.URL.Path, "/manifests/1"), strings.HasSuffix(r.URL.Path, digest.FromBytes(index).String()):
					answerWith(w, r, ocispec.MediaTypeImageIndex, index)
				case strings.HasSuffix(r.URL.Path, entry.Digest.String()):
					answerWith(w, r, m.MediaType, body)
				default:
					return false
				}
				return true
			})
			_, client := n.serve(t)
			_, err = n.pull(t.Context(), client, "team/app:1", nil)
			must(t, err)
			if got := visits.Load(); got > 0 {
				t.Errorf("asked %d times", got)
			}
			n.came(t, overSocket)
			n.whole(t, n.registry.host+"/team/app:1")
		})
	}
}

// answerWith answers with a manifest.
func answerWith(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = bytes.NewReader(body).WriteTo(w)
	}
}
