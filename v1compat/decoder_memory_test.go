package v1compat

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/ulikunitz/xz"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// stalledLayer gives the beginning of a layer and then nothing until it is given
// up.
type stalledLayer struct {
	ctx  context.Context //nolint:containedctx // its reader has none
	data []byte
	at   chan<- struct{}
}

func (s *stalledLayer) Read(p []byte) (int, error) {
	if len(s.data) > 0 {
		n := copy(p, s.data)
		s.data = s.data[n:]
		return n, nil
	}
	if s.at != nil {
		close(s.at)
		s.at = nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (*stalledLayer) Close() error { return nil }

// TestStalledLargeLayerKeepsNothingFromOthers: a layer with a large dictionary,
// of which the rest does not come, and such layers of another registry.
func TestStalledLargeLayerKeepsNothingFromOthers(t *testing.T) {
	t.Parallel()
	tar := v1test.Tar(map[string]string{"noise": string(noise(1 << 20))})
	large := packed(t, tar, func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{DictCap: 32 << 20}.NewWriter(w)
	})
	if !xzWantsMuch(large[:headSize]) {
		t.Fatal("the layer's dictionary is not large: nothing is tested")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reached, ended := make(chan struct{}), make(chan error, 1)
	stalled := imageOf(large)
	stalled.Registry = "stalls.example"
	stalled.Entries[0].Open = func(ctx context.Context, _ int64) (*LayerStream, error) {
		return &LayerStream{ReadCloser: &stalledLayer{ctx, large[:len(large)/2], reached}, Total: int64(len(large))}, nil
	}
	go func() {
		_, err := (&Converter{Store: localStore(t)}).Convert(ctx, stalled)
		ended <- err
	}()
	<-reached
	if _, err := (&Converter{Store: localStore(t)}).Convert(t.Context(), imageOf(large)); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the stalled one ended with %v", err)
	}
	largeWindows.mu.Lock()
	defer largeWindows.mu.Unlock()
	if largeWindows.byRegistry["stalls.example"] != nil {
		t.Error("the registry is remembered")
	}
}

// TestLargeLayersAreFew of one registry, and of all.
func TestLargeLayersAreFew(t *testing.T) {
	t.Parallel()
	w := windows{all: semaphore.NewWeighted(2)}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	first, err := w.acquire(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.acquire(gone, "a"); err == nil {
		t.Error("a second one of the same registry")
	}
	second, err := w.acquire(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.acquire(gone, "c"); err == nil {
		t.Error("more than two in all")
	}
	first()
	third, err := w.acquire(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	second()
	third()
	if len(w.byRegistry) != 0 {
		t.Errorf("remembered: %v", w.byRegistry)
	}
}
