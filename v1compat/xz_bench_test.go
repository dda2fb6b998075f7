package v1compat

import (
	"bufio"
	"bytes"
	"io"
	"testing"

	"github.com/ulikunitz/xz"
)

// BenchmarkXZ reads a layer of repeated and of random data with the decoder in
// use and with the other one, which has no limit of its own.
func BenchmarkXZ(b *testing.B) {
	data := append(bytes.Repeat(noise(1<<12), 1<<11), noise(8<<20)...)
	packed := xzOf(b, data)
	for _, row := range []struct {
		name string
		open func(io.Reader) (io.Reader, error)
	}{
		{"certsd", newXZReader},
		{"ulikunitz", func(r io.Reader) (io.Reader, error) { return xz.NewReader(bufio.NewReaderSize(r, 64<<10)) }},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := row.open(bytes.NewReader(packed))
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(data)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
