package v1compat

import (
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
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
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

// bare is what must be done at least: read, gunzip and take both digests.
func bare(ctx context.Context, img *Image) error {
	var group errgroup.Group
	for i := range img.Entries {
		group.Go(func() error {
			s, err := img.Entries[i].Open(ctx, 0)
			if err != nil {
				return err
			}
			defer s.Close()
			packed, unpacked := sha256.New(), sha256.New()
			z, err := gzip.NewReader(io.TeeReader(s, packed))
			if err != nil {
				return err
			}
			if _, err := io.Copy(unpacked, z); err != nil {
				return err
			}
			packed.Sum(nil)
			unpacked.Sum(nil)
			return nil
		})
	}
	return group.Wait()
}

// BenchmarkConvertGzip converts three gzip layers of 120 MiB that come over
// TLS, and in the same run does the bare minimum with them. The ratio of the
// two times is what counts.
func BenchmarkConvertGzip(b *testing.B) {
	for _, row := range []struct {
		name  string
		noise float64
	}{{"programs", 0.05}, {"noise", 1}} {
		b.Run(row.name, func(b *testing.B) {
			member := benchMember(24<<20, row.noise)
			_, img := benchServer(b, member, 5, 3)
			var converting, minimum time.Duration
			for b.Loop() {
				start := time.Now()
				if err := bare(b.Context(), img); err != nil {
					b.Fatal(err)
				}
				minimum += time.Since(start)
				b.StopTimer()
				dir := benchDir(b)
				c := &Converter{Store: storeIn(b, dir)}
				b.StartTimer()
				start = time.Now()
				if _, err := c.Convert(b.Context(), img); err != nil {
					b.Fatal(err)
				}
				converting += time.Since(start)
				b.StopTimer()
				_ = os.RemoveAll(dir)
				b.StartTimer()
			}
			b.ReportMetric(converting.Seconds()/float64(b.N), "s/convert")
			b.ReportMetric(minimum.Seconds()/float64(b.N), "s/bare")
			b.ReportMetric(converting.Seconds()/minimum.Seconds(), "ratio")
		})
	}
}

func benchDir(b *testing.B) string {
	return b.TempDir()
}
