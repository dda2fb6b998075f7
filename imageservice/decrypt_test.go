package imageservice

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/diff"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// What may come of a missing key is explained, and what cannot is left as it is.
func TestEncryptedLayersAreExplained(t *testing.T) {
	t.Parallel()
	const says = "layers are encrypted"
	failed := errors.New("wrong diff id")
	for _, c := range []struct {
		name, mediaType string
		err             error
		want            bool
	}{
		{"encrypted", ocispec.MediaTypeImageLayerGzip + "+encrypted", failed, true},
		{"a plain one", ocispec.MediaTypeImageLayerGzip, failed, false},
		{"the registry", ocispec.MediaTypeImageLayer + "+encrypted", &resolver.Error{Err: failed}, false},
		{"no progress", ocispec.MediaTypeImageLayer + "+encrypted", &noProgressError{}, false},
		{"given up", ocispec.MediaTypeImageLayer + "+encrypted", context.Canceled, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := &delivery{}
			var how diff.ApplyConfig
			if err := in.withDecryption(t.Context(), ocispec.Descriptor{MediaType: c.mediaType}, &how); err != nil {
				t.Fatal(err)
			}
			for _, decoder := range decoders {
				if how.ProcessorPayloads[decoder].GetTypeUrl() != payloadURL {
					t.Errorf("%s is told nothing", decoder)
				}
			}
			err := in.explained(c.err)
			if !errors.Is(err, c.err) || strings.Contains(err.Error(), says) != c.want {
				t.Errorf("explained as %q", err)
			}
		})
	}
}
