package v1compat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/internal/benchtest"
)

// benchMember is a gzip member of about size bytes, of which a part of noise
// cannot be compressed and the rest is as redundant as programs are.
func benchMember(size int, noise float64) []byte {
	var out bytes.Buffer
	out.Grow(size + 1<<20)
	z, _ := gzip.NewWriterLevel(&out, gzip.DefaultCompression)
	rnd := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 4096)
	for i := range words {
		words[i] = make([]byte, 3+rnd.IntN(12))
		for j := range words[i] {
			words[i][j] = byte(rnd.Uint32())
		}
	}
	block := make([]byte, 0, 64<<10)
	for out.Len() < size {
		block = block[:0]
		for len(block) < 60<<10 {
			if rnd.Float64() < noise {
				for range 16 {
					block = append(block, byte(rnd.Uint32()))
				}
			} else {
				block = append(block, words[int(rnd.ExpFloat64()*300)%len(words)]...)
			}
		}
		_, _ = z.Write(block)
		_ = z.Flush()
	}
	_ = z.Close()
	return out.Bytes()
}

// benchServer serves count layers over TLS: a first member of their own, then
// member repeated.
func benchServer(b testing.TB, member []byte, repeat, count int) (*http.Client, *Image) {
	firsts := make([][]byte, count)
	for i := range firsts {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		_, _ = fmt.Fprintf(z, "layer %d", i)
		_ = z.Close()
		firsts[i] = buf.Bytes()
	}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Content-Length", strconv.Itoa(len(firsts[i])+repeat*len(member)))
		_, _ = w.Write(firsts[i])
		for range repeat {
			if _, err := w.Write(member); err != nil {
				return
			}
		}
	}))
	b.Cleanup(srv.Close)
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		DisableCompression: true,
	}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	img := &Image{Registry: "bench", Repository: "bench"}
	for i := range count {
		id := fmt.Sprintf("%064x", i+1)
		doc, _ := json.Marshal(map[string]string{"id": id})
		img.Entries = append(img.Entries, Entry{ID: id, JSON: doc, Open: func(ctx context.Context, _ int64) (*LayerStream, error) {
			resp, err := get(ctx, client, srv.URL+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			return &LayerStream{ReadCloser: resp.Body, Total: resp.ContentLength}, nil
		}})
	}
	return client, img
}

func get(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(req)
}

// bare is what must be done at least: read, gunzip and take both digests. With
// a directory it also does what any store must do: write each layer as it is
// received to a file there, and flush that to the disk.
func bare(ctx context.Context, img *Image, dir string) error {
	var group errgroup.Group
	for i := range img.Entries {
		group.Go(func() error {
			s, err := img.Entries[i].Open(ctx, 0)
			if err != nil {
				return err
			}
			defer s.Close()
			packed, unpacked := sha256.New(), sha256.New()
			received := io.TeeReader(s, packed)
			keep := func() error { return nil }
			if dir != "" {
				f, err := os.Create(filepath.Join(dir, strconv.Itoa(i)))
				if err != nil {
					return err
				}
				defer f.Close()
				received, keep = io.TeeReader(received, f), f.Sync
			}
			// Read in large pieces: its default is 4 KiB.
			z, err := gzip.NewReader(bufio.NewReaderSize(received, chunkSize))
			if err != nil {
				return err
			}
			if _, err := io.Copy(unpacked, z); err != nil {
				return err
			}
			packed.Sum(nil)
			unpacked.Sum(nil)
			return keep()
		})
	}
	return group.Wait()
}

// BenchmarkConvertGzip converts three gzip layers of 120 MiB that come over
// TLS, and takes turns with two clients that do less: bare keeps nothing of the
// layers, stored writes them to files. What convert takes beyond bare is mostly
// what stored takes, the kernel's writing of 360 MiB; it counts where gunzip has
// little to do, and on the disk at hand.
func BenchmarkConvertGzip(b *testing.B) {
	benchtest.Quiet(b)
	for _, row := range []struct {
		name  string
		noise float64
	}{{"programs", 0.05}, {"noise", 1}} {
		b.Run(row.name, func(b *testing.B) {
			member := benchMember(24<<20, row.noise)
			_, img := benchServer(b, member, 5, 3)
			must := func(err error) {
				if err != nil {
					b.Fatal(err)
				}
			}
			// Each has an empty directory, which is cleared away before the next.
			var dir string
			var store content.Store
			next := func() {
				if dir != "" {
					must(os.RemoveAll(dir))
				}
				dir = filepath.Join(b.TempDir(), "store")
				must(os.Mkdir(dir, 0o700))
				store = storeIn(b, dir)
			}
			next()
			runs := benchtest.Turns(b,
				benchtest.Contender{Name: "bare", Run: func() { must(bare(b.Context(), img, "")) }},
				benchtest.Contender{Name: "stored", Run: func() { must(bare(b.Context(), img, dir)) }, After: next},
				benchtest.Contender{Name: "convert", Run: func() {
					_, err := (&Converter{Store: store}).Convert(b.Context(), img)
					must(err)
				}, After: next},
			)
			b.ReportMetric(runs.Ratio("convert", "bare"), "convert/bare")
			b.ReportMetric(runs.Ratio("convert/cpu", "bare/cpu"), "convert/bare-cpu")
			b.ReportMetric(runs.Ratio("stored", "bare"), "stored/bare")
			b.ReportMetric(runs.Ratio("convert", "stored"), "convert/stored")
			b.ReportMetric(runs.Ratio("convert/cpu", "stored/cpu"), "convert/stored-cpu")
		})
	}
}
