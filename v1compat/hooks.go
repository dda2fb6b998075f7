package v1compat

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Hooks observe a [Client] or a [Converter]. Nil functions are not called; the
// others may be called concurrently, and must not block.
type Hooks struct {
	// OnWarning is called for what was skipped, such as an endpoint that failed
	// while another is left, and of what does not keep an image from being
	// converted.
	OnWarning func(err error)
	// OnProgress is called for the layers of a conversion: when one begins, at most
	// once per MiB while it loads, and when it is done.
	OnProgress func(Progress)
	// OnLayer is called when the work on a layer of a conversion begins, with the
	// id of its entry. The layer's requests are made with the context it returns,
	// and when the work has ended the function it returns is called.
	OnLayer func(ctx context.Context, layer string) (context.Context, func(LayerEnd))
}

// LayerEnd is the end of the work on a layer.
type LayerEnd struct {
	// Known reports that the layer was in the store already.
	Known bool
	// Descriptor is that of the layer as the manifest has it, zero for a layer
	// without content.
	Descriptor ocispec.Descriptor
	// Err is why there is no such layer, nil if there is.
	Err error
}
