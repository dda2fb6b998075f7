package status

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Download is the kind of a [Work] that is not a conversion.
const Download = "download"

// maxWork bounds the number of downloads and conversions followed.
const maxWork = 256

// watch follows one download or conversion.
type watch struct {
	state *State
	work  resolver.Work
	began time.Time
	bytes atomic.Int64

	// layers and totals are the bytes received and expected of each layer, done whether
	// it is complete. State.mu guards them.
	layers map[string]int64
	totals map[string]int64
	done   map[string]bool
}

var _ resolver.Watch = (*watch)(nil)

// Begin follows a download or conversion, unless too many are followed already.
func (s *State) Begin(w resolver.Work) resolver.Watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.work) >= maxWork {
		return nil
	}
	f := &watch{state: s, work: w, began: s.now()}
	s.work[f] = struct{}{}
	return f
}

// Received implements resolver.Watch.
func (w *watch) Received(n int) { w.bytes.Add(int64(n)) }

// Layer implements resolver.Watch.
func (w *watch) Layer(p v1compat.Progress) {
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	if w.layers == nil {
		w.layers, w.totals, w.done = map[string]int64{}, map[string]int64{}, map[string]bool{}
	}
	w.layers[p.ID], w.totals[p.ID], w.done[p.ID] = p.Offset, p.Total, p.Done
}

// End implements resolver.Watch.
func (w *watch) End() {
	w.state.mu.Lock()
	defer w.state.mu.Unlock()
	delete(w.state.work, w)
}

// describeWork describes the work under way, the oldest first.
func (s description) describeWork() []Work {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Work
	for w := range s.work {
		all = append(all, w.describe())
	}
	slices.SortFunc(all, func(a, b Work) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Digest, b.Digest))
	})
	return all
}

// UnderWay returns how many downloads and conversions are under way, by kind.
func (s *State) UnderWay() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := map[string]int{}
	for w := range s.work {
		kinds[w.kind()]++
	}
	return kinds
}

func (w *watch) kind() string { return cmp.Or(w.work.Protocol, Download) }

func (w *watch) describe() Work {
	described := Work{
		Kind: w.kind(), Ref: safetext.Line(w.work.Ref, maxText), Since: w.began,
		Digest: safetext.Line(w.work.Digest.String(), maxText), Bytes: w.bytes.Load(), Total: max(w.work.Size, 0),
	}
	if w.work.Protocol == "" {
		return described
	}
	known := true
	for id, n := range w.layers {
		described.Bytes += n
		described.LayersBegun++
		if w.done[id] {
			described.Layers++
		}
		known = known && w.totals[id] > 0
		described.Total += w.totals[id]
	}
	if !known {
		described.Total = 0
	}
	return described
}
