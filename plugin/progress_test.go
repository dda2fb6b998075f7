package plugin

import (
	"testing"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/v1compat"
)

// TestProgressIsCountedByCRI holds events to what containerd's CRI counts: a
// name, a descriptor, a total, and the end of a request only at its end.
func TestProgressIsCountedByCRI(t *testing.T) {
	t.Parallel()
	var got []transfer.Progress
	report := layerProgress(func(p transfer.Progress) { got = append(got, p) })
	dgst := digest.FromString("layer")
	for name, row := range map[string]struct {
		in    v1compat.Progress
		event string
		ended bool
	}{
		"of unknown size":             {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 10}, "downloading", false},
		"of known size":               {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 10, Total: 20}, "downloading", false},
		"read, but not written":       {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 20, Total: 20}, "downloading", false},
		"larger than was said":        {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 30, Total: 20}, "downloading", false},
		"done":                        {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 20, Total: 20, Done: true}, "complete", true},
		"done, and smaller than said": {v1compat.Progress{Ref: "r", Digest: dgst, Offset: 10, Total: 20, Done: true}, "complete", true},
		"there before":                {v1compat.Progress{Ref: "r", Digest: dgst, Known: true, Done: true}, "already exists", false},
	} {
		got = nil
		report(row.in)
		p := got[0]
		if p.Name != "r" || p.Desc == nil || p.Desc.Digest != dgst || p.Total == 0 || p.Event != row.event {
			t.Errorf("%s: %+v", name, p)
		}
		if ended := p.Progress == p.Total; ended != row.ended {
			t.Errorf("%s: %d of %d", name, p.Progress, p.Total)
		}
	}
	if layerProgress(nil) != nil {
		t.Error("there is something to report to nobody")
	}
}
