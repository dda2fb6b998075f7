package plugin

import (
	"sync"

	"github.com/containerd/containerd/v2/core/transfer"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat"
)

// layerProgress reports a conversion's layers the way the pull reports those it
// fetches itself. containerd's CRI counts only events with a name, a descriptor and a
// total, and cancels a pull whose count stops growing.
func layerProgress(report transfer.ProgressFunc) func(v1compat.Progress) {
	if report == nil {
		return nil
	}
	// Layers load concurrently, but a transfer's progress goes into one stream, which
	// takes one message at a time.
	var mu sync.Mutex
	return func(p v1compat.Progress) {
		mu.Lock()
		defer mu.Unlock()
		report(transfer.Progress{
			Event:    eventOf(p),
			Name:     p.Ref,
			Progress: p.Offset,
			Total:    totalOf(p),
			Desc:     &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: p.Digest, Size: p.Total},
		})
	}
}

func eventOf(p v1compat.Progress) string {
	switch {
	case p.Known:
		return "already exists"
	case p.Done:
		return "complete"
	default:
		return "downloading"
	}
}

// totalOf returns more than the offset until the layer is done: CRI takes equality
// for the end of the request, and zero for no progress at all.
func totalOf(p v1compat.Progress) int64 {
	if p.Done {
		return max(p.Offset, 1)
	}
	return max(p.Total, p.Offset+1)
}
