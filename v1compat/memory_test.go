package v1compat

import (
	"context"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
)

// endless is a layer of one gzip member after another. At intervals it notes
// how much memory is in use.
type endless struct {
	member []byte
	left   int // members
	at     int
	read   int
	peak   *peak
}

// peak is the most memory seen in use, of all that a process takes but the
// executable.
type peak struct {
	mu   sync.Mutex
	most uint64
}

func (p *peak) look() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = max(p.most, m.Sys-m.HeapReleased)
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at == len(e.member) {
		e.at = 0
		e.left--
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.member[e.at:])
	e.at += n
	if e.read += n; e.read > 4<<20 {
		e.read = 0
		e.peak.look()
	}
	return n, nil
}

func (*endless) Close() error { return nil }

// peakOf is the memory above idle that a conversion of three layers takes.
func peakOf(t testing.TB, dir string, member []byte, members int) uint64 {
	t.Helper()
	img := imageOf(nil, nil, nil)
	p := new(peak)
	for i := range img.Entries {
		size := int64(len(member) * (members + i)) // different layers
		img.Entries[i].Open = func(context.Context, int64) (*LayerStream, error) {
			return &LayerStream{ReadCloser: &endless{member: member, left: members + i, peak: p}, Total: size}, nil
		}
	}
	store := storeIn(t, dir)
	debug.FreeOSMemory() // what making the layers took
	p.look()
	idle := p.most
	if _, err := (&Converter{Store: store}).Convert(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	return p.most - idle
}

// TestMemory is about what a node has to spare, whatever the layers' size.
func TestMemory(t *testing.T) {
	member := benchMember(1<<20, 1)
	for _, members := range []int{4, 40} {
		if got := peakOf(t, t.TempDir(), member, members); got > 64<<20 {
			t.Errorf("three layers of %d MiB take %d MiB of memory", members, got>>20)
		}
	}
}

// BenchmarkConvertMemory reports the peak above idle, which must not grow with
// the layers.
func BenchmarkConvertMemory(b *testing.B) {
	member := benchMember(16<<20, 0.5)
	for _, size := range []int{64, 1024} {
		b.Run(strconv.Itoa(size)+"MiB", func(b *testing.B) {
			var most uint64
			for b.Loop() {
				dir := b.TempDir()
				most = max(most, peakOf(b, dir, member, size/16))
				_ = os.RemoveAll(dir)
			}
			b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
		})
	}
}
