package imageservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/certsd/containerd-certsd/resolver"
)

// decoders are the stream processors of containerd's default configuration that
// decrypt layers with the keys of the node.
var decoders = []string{"io.containerd.ocicrypt.decoder.v1.tar", "io.containerd.ocicrypt.decoder.v1.tar.gzip"}

// payload tells imgcrypt's decoder about a layer.
type payload struct {
	DecryptConfig struct{ Parameters map[string][][]byte }
	Descriptor    ocispec.Descriptor
}

// payloadURL is the type URL of a payload.
const payloadURL = "io.containerd.ocicrypt.v1.Payload"

// withDecryption lets containerd decrypt layers as it does for CRI with the key model
// "node": only with keys of the node.
func (in *delivery) withDecryption(_ context.Context, layer ocispec.Descriptor, c *diff.ApplyConfig) error {
	if strings.HasSuffix(layer.MediaType, "+encrypted") {
		in.encrypted.Store(true)
	}
	value, err := json.Marshal(payload{Descriptor: layer})
	if err != nil {
		return err
	}
	if c.ProcessorPayloads == nil {
		c.ProcessorPayloads = map[string]typeurl.Any{}
	}
	for _, id := range decoders {
		c.ProcessorPayloads[id] = &anypb.Any{TypeUrl: payloadURL, Value: value}
	}
	return nil
}

// explained adds to an error that layers are encrypted, if they are: containerd may
// report a failed decryption only as a wrong diff ID.
func (in *delivery) explained(err error) error {
	var registry *resolver.Error
	var idle *noProgressError
	if !in.encrypted.Load() || errors.As(err, &registry) || errors.As(err, &idle) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w (its layers are encrypted: containerd decrypts them with the keys of this node, in /etc/containerd/ocicrypt/keys where its stream_processors name no other place)", err)
}
