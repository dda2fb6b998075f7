package v1compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// TestDownloadsAtATime lets every layer that is opened wait until nothing else
// moves, and counts them.
func TestDownloadsAtATime(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name  string
		c     Converter
		limit int64
		want  int64
	}{
		{"three without a wish", Converter{}, 0, 3},
		{"as many as wished", Converter{MaxConcurrentDownloads: 2}, 0, 2},
		{"as many as the limiter lets", Converter{MaxConcurrentDownloads: 5}, 1, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := row.c
				c.Store = localStore(t)
				if row.limit > 0 {
					c.Limiter = semaphore.NewWeighted(row.limit)
				}
				var layers [][]byte
				for i := range 6 {
					layers = append(layers, noise(1000+i*512))
				}
				img := imageOf(layers...)
				var open atomic.Int64
				gate := make(chan struct{})
				for i := range img.Entries {
					inner := img.Entries[i].Open
					img.Entries[i].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
						open.Add(1)
						<-gate
						return inner(ctx, offset)
					}
				}
				done := make(chan error, 1)
				go func() {
					_, err := c.Convert(t.Context(), img)
					done <- err
				}()
				// The bubble's clock: a store that is busy is asked again.
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if got := open.Load(); got != row.want {
					t.Errorf("%d layers at a time, want %d", got, row.want)
				}
				close(gate)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestOneLayerFails gives up the others, but not with its error.
func TestOneLayerFails(t *testing.T) {
	t.Parallel()
	img := imageOf(noise(1000), noise(2000))
	broken, begun, cause := errors.New("broken"), make(chan struct{}), error(nil)
	img.Entries[0].Open = func(context.Context, int64) (*LayerStream, error) {
		<-begun
		return nil, fmt.Errorf("%w: %w", broken, errdefs.ErrNotFound)
	}
	img.Entries[1].Open = func(ctx context.Context, _ int64) (*LayerStream, error) {
		close(begun)
		<-ctx.Done()
		cause = context.Cause(ctx)
		return nil, cause
	}
	_, err := (&Converter{Store: localStore(t)}).Convert(t.Context(), img)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "layer "+img.Entries[0].ID) {
		t.Errorf("error %v", err)
	}
	if cause != context.Canceled { //nolint:errorlint // itself
		t.Errorf("the other layer is said to have failed with %v", cause)
	}
}

// TestProgressOfASlowServer is told of while a small part of a layer is there, about once
// in a second.
func TestProgressOfASlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		img := imageOf(noise(60_000))
		inner := img.Entries[0].Open
		img.Entries[0].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
			s, err := inner(ctx, offset)
			if err == nil {
				s.ReadCloser = slowBody{s.ReadCloser}
			}
			return s, err
		}
		var offsets []int64
		convert(t, &Converter{Store: localStore(t), Hooks: Hooks{OnProgress: func(p Progress) {
			if !p.Done {
				offsets = append(offsets, p.Offset)
			}
		}}}, img)
		if len(offsets) < 25 || len(offsets) > 35 || !slices.IsSorted(offsets) || offsets[1] == 0 {
			t.Errorf("60 kB at 2 kB in a second: %v", offsets)
		}
	})
}

// slowBody gives a hundred bytes at a time, twenty times in a second.
type slowBody struct{ io.ReadCloser }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return b.ReadCloser.Read(p[:min(len(p), 100)])
}

func TestProgress(t *testing.T) {
	t.Parallel()
	data := noise(5 << 20)
	img := imageOf(data)
	var events []Progress
	convert(t, &Converter{Store: localStore(t), Hooks: Hooks{OnProgress: func(p Progress) { events = append(events, p) }}}, img)
	if len(events) < 3 || len(events) > 8 {
		t.Fatalf("%d events: %v", len(events), events)
	}
	var last int64
	for i, p := range events {
		if p.ID != img.Entries[0].ID || p.Offset < last || p.Total != int64(len(data)) || p.Ref == "" || p.Known {
			t.Errorf("event %d is %+v after %d bytes", i, p, last)
		}
		last = p.Offset
		if p.Done != (i == len(events)-1) {
			t.Errorf("event %d of %d is %+v", i, len(events), p)
		}
	}
	if end := events[len(events)-1]; end.Offset != int64(len(data)) || end.Digest != digest.FromBytes(data) {
		t.Errorf("the last event is %+v", end)
	}
}

// TestSchema1BlobsOfOthers finds blobs in the store that a pull of something
// else has put there. The registry is asked for one byte of them, as not
// everybody may have them.
func TestSchema1BlobsOfOthers(t *testing.T) {
	t.Parallel()
	zeros, tar := v1test.Gzip(make([]byte, 1024)), noise(2000)
	rows := []struct {
		name   string
		data   []byte
		labels map[string]string
		opened int64
	}{
		{"labelled", v1test.Gzip(tar), map[string]string{labelUncompressed: digest.FromBytes(tar).String()}, 1},
		{"not labelled", v1test.Gzip(tar), nil, 1},
		{"plain", tar, nil, 1},
		{"an empty layer that is labelled as one with content", zeros, map[string]string{labelUncompressed: digest.FromBytes(make([]byte, 1024)).String()}, 1},
		{"xz, which is no layer", xzOf(t, tar), nil, 2},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			image := func() *Image {
				img := imageOf(tar, row.data)
				img.Entries[1].Digest = digest.FromBytes(row.data)
				return img
			}
			want := convert(t, &Converter{Store: localStore(t)}, image())
			store := localStore(t)
			desc := described(ocispec.MediaTypeImageLayer, row.data)
			r, _ := streamOf(row.data)(t.Context(), 0)
			if err := content.WriteBlob(t.Context(), store, "other", r, desc, content.WithLabels(row.labels)); err != nil {
				t.Fatal(err)
			}
			img := image()
			opened := counting(img)
			got := convert(t, &Converter{Store: store}, img)
			if got.desc.Digest != want.desc.Digest || opened.Load() != row.opened+1 {
				t.Errorf("manifest %s, want %s; %d layers opened, want %d", got.desc.Digest, want.desc.Digest, opened.Load(), row.opened+1)
			}
		})
	}
}
