package imageservice

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/types/known/anypb"
)

// decoders are the stream processors of containerd's default configuration that
// decrypt layers with the keys of the node.
var decoders = []string{"io.containerd.ocicrypt.decoder.v1.tar", "io.containerd.ocicrypt.decoder.v1.tar.gzip"}

// payload is what imgcrypt's decoder is told of a layer.
type payload struct {
	DecryptConfig struct{ Parameters map[string][][]byte }
	Descriptor    ocispec.Descriptor
}

// payloadURL is the name of its type.
const payloadURL = "io.containerd.ocicrypt.v1.Payload"

// withDecryption lets containerd decrypt layers as it does for CRI, by its key
// model "node": without keys but those of the node.
func withDecryption(_ context.Context, layer ocispec.Descriptor, c *diff.ApplyConfig) error {
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
