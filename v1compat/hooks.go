package v1compat

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Hooks observe a [Client] or a [Converter]. Nil functions are not called; the others
// may be called concurrently and must not block.
type Hooks struct {
	// OnWarning is called for problems that do not prevent the conversion of an
	// image, such as a skipped endpoint that failed while another is left.
	OnWarning func(err error)
	// OnProgress is called for the layers of a conversion: when one begins, at most
	// once per MiB while it loads, and when it is done.
	OnProgress func(Progress)
	// OnLayer is called with the id of a layer's entry when its conversion begins.
	// The layer's requests use the context it returns; the function it returns is
	// called at the end.
	OnLayer func(ctx context.Context, layer string) (context.Context, func(LayerEnd))
}

// LayerEnd is the result of converting a layer.
type LayerEnd struct {
	// Known reports whether the layer was in the store already.
	Known bool
	// Descriptor describes the layer as in the manifest; it is zero for a layer
	// without content.
	Descriptor ocispec.Descriptor
	// Err is the error of the conversion, if it failed.
	Err error
}
