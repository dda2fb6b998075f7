package resolver_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestPushManifest: a manifest is known by the digest that the registry says, of
// any algorithm, if that is one of what was sent.
func TestPushManifest(t *testing.T) {
	t.Parallel()
	body := []byte(`{"schemaVersion":2}`)
	sum256, sum512 := digest.FromBytes(body).String(), digest.SHA512.FromBytes(body).String()
	for name, row := range map[string]struct {
		object, answer string
		status         int
		want, err      string
	}{
		"to a tag":                       {object: ":1", answer: sum256, want: sum256},
		"to a tag, by another algorithm": {object: ":1", answer: sum512, want: sum512},
		"to a tag, without a digest":     {object: ":1", want: sum256},
		"to a digest, without one":       {object: "@" + sum512, want: sum512},
		"as something else":              {object: ":1", answer: digest.FromString("x").String(), err: "but the manifest is " + sum256},
		"as nothing that can be read":    {object: ":1", answer: "sha256:x", err: `answered the push with the digest "sha256:x"`},
		"that is not taken":              {object: ":1", answer: sum256, status: http.StatusAccepted, err: "202 Accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				sent, _ := io.ReadAll(req.Body)
				if req.Method != http.MethodPut || req.URL.Path != "/v2/app/manifests/"+row.object[1:] || string(sent) != string(body) || req.Header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
					t.Errorf("%s %s %s", req.Method, req.URL, sent)
				}
				if row.answer != "" {
					w.Header().Set("Docker-Content-Digest", row.answer)
				}
				w.WriteHeader(max(row.status, http.StatusCreated))
			}))
			root := t.TempDir()
			r.Dir(t, root)
			got, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).PushManifest(t.Context(), r.Host+"/app"+row.object, ocispec.MediaTypeImageIndex, body)
			if got.String() != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("known as %q, %v", got, err)
			}
		})
	}
}
