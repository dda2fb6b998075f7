package v1compat

import (
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/ulikunitz/xz"
)

// imageOf is an image of v1 whose layers are the given bytes, base first.
func imageOf(layers ...[]byte) *Image {
	img := &Image{Registry: "registry.example:5000", Repository: "library/test"}
	parent := ""
	for i, data := range layers {
		id := fmt.Sprintf("%064x", i+1)
		doc := map[string]any{"id": id, "config": map[string]any{}, "created": "2014-06-01T12:00:00Z", "container_config": map[string]any{"Cmd": []string{"step", strconv.Itoa(i)}}}
		if parent != "" {
			doc["parent"] = parent
		}
		body, _ := json.Marshal(doc)
		img.Entries = append(img.Entries, Entry{ID: id, JSON: body, Size: -1, Open: streamOf(data)})
		parent = id
	}
	return img
}

// converted is an image in the store, read back.
type converted struct {
	desc     ocispec.Descriptor
	manifest ocispec.Manifest
	config   ocispec.Image
}

// convert converts and checks what holds for every image.
func convert(t testing.TB, c *Converter, img *Image) converted {
	t.Helper()
	desc, err := c.Convert(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	got := converted{desc: desc, manifest: blob[ocispec.Manifest](t, c.Store, desc)}
	got.config = blob[ocispec.Image](t, c.Store, got.manifest.Config)
	full := 0
	for _, h := range got.config.History {
		if !h.EmptyLayer {
			full++
		}
	}
	if n := len(got.manifest.Layers); n == 0 || n != full || n != len(got.config.RootFS.DiffIDs) {
		t.Errorf("%d layers, %d diffIDs, %d of %d history entries with a layer",
			n, len(got.config.RootFS.DiffIDs), full, len(got.config.History))
	}
	if len(got.config.History) != len(img.Entries) {
		t.Errorf("%d history entries for %d", len(got.config.History), len(img.Entries))
	}
	statuses, err := c.Store.ListStatuses(t.Context())
	if err != nil || len(statuses) != 0 {
		t.Errorf("left behind: %v, %v", statuses, err)
	}
	return got
}

func gzipped2(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, v1test.Gzip(p)...)
	}
	return out
}

func packed(t testing.TB, data []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func xzOf(t testing.TB, data []byte) []byte {
	return packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
}

func zstdOf(t testing.TB, data []byte) []byte {
	return packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
}

func TestLayerForms(t *testing.T) {
	t.Parallel()
	tar := v1test.Tar(map[string]string{"etc/passwd": strings.Repeat("root:x:0:0\n", 20_000)})
	bz, err := os.ReadFile("testdata/layer.tar.bz2")
	if err != nil {
		t.Fatal(err)
	}
	bzTar, err := io.ReadAll(bzip2.NewReader(bytes.NewReader(bz)))
	if err != nil {
		t.Fatal(err)
	}
	// What "xz --check=sha256 --x86 --lzma2" makes of one file.
	filtered, err := os.ReadFile("testdata/layer.tar.x86.xz")
	if err != nil {
		t.Fatal(err)
	}
	filteredTar, err := os.ReadFile("testdata/layer.x86.tar")
	if err != nil {
		t.Fatal(err)
	}
	blocks := packed(t, tar, func(w io.Writer) (io.WriteCloser, error) {
		return xz.WriterConfig{BlockSize: 50_000, DictCap: 1 << 16}.NewWriter(w)
	})
	named := packed(t, tar, func(w io.Writer) (io.WriteCloser, error) {
		z := gzip.NewWriter(w)
		z.Name, z.Comment = "layer.tar", "a comment"
		return z, nil
	})
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, zstdOf(t, tar)...)
	odd := v1test.Tar(map[string]string{"BZh9 is no compression here": "plain"})
	const gz, zst, pl = ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd, ocispec.MediaTypeImageLayer

	rows := []struct {
		name         string
		data, stored []byte
		media        string
		tar          []byte
	}{
		{"gzip keeps its bytes", v1test.Gzip(tar), v1test.Gzip(tar), gz, tar},
		{"gzip with a name keeps its bytes", named, named, gz, tar},
		{"gzip of several members keeps its bytes", gzipped2(tar[:1000], nil, tar[1000:]), gzipped2(tar[:1000], nil, tar[1000:]), gz, tar},
		{"gzip twice loses the outer one", v1test.Gzip(v1test.Gzip(tar)), v1test.Gzip(tar), gz, tar},
		{"gzip three times, too", v1test.Gzip(v1test.Gzip(v1test.Gzip(tar))), v1test.Gzip(tar), gz, tar},
		{"zstd keeps its bytes", zstdOf(t, tar), zstdOf(t, tar), zst, tar},
		{"zstd after a frame to skip keeps its bytes", skippable, skippable, zst, tar},
		{"zstd in gzip loses the gzip", v1test.Gzip(zstdOf(t, tar)), zstdOf(t, tar), zst, tar},
		{"plain tar keeps its bytes", tar, tar, pl, tar},
		{"plain tar with padding keeps it", append(slices.Clip(tar), make([]byte, 9000)...), append(slices.Clip(tar), make([]byte, 9000)...), pl, append(slices.Clip(tar), make([]byte, 9000)...)},
		{"a file name is no magic number", odd, odd, pl, odd},
		{"xz becomes plain tar", xzOf(t, tar), tar, pl, tar},
		{"xz of many blocks becomes plain tar", blocks, tar, pl, tar},
		{"xz of two streams with padding becomes plain tar", append(append(xzOf(t, tar[:1000]), 0, 0, 0, 0), xzOf(t, tar[1000:])...), tar, pl, tar},
		{"xz in gzip becomes plain tar", v1test.Gzip(xzOf(t, tar)), tar, pl, tar},
		{"gzip in xz loses the xz", xzOf(t, v1test.Gzip(tar)), v1test.Gzip(tar), gz, tar},
		{"bzip2 becomes plain tar", bz, bzTar, pl, bzTar},
		{"xz with a filter for programs becomes plain tar", filtered, filteredTar, pl, filteredTar},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			c := &Converter{Store: localStore(t), Hooks: Hooks{OnWarning: func(err error) { t.Error(err) }}}
			got := convert(t, c, imageOf(row.data))
			want := ocispec.Descriptor{MediaType: row.media, Digest: digest.FromBytes(row.stored), Size: int64(len(row.stored))}
			layer := got.manifest.Layers[0]
			if layer.MediaType != want.MediaType || layer.Digest != want.Digest || layer.Size != want.Size {
				t.Errorf("layer is %+v, want %+v", layer, want)
			}
			if diffID := digest.FromBytes(row.tar); got.config.RootFS.DiffIDs[0] != diffID {
				t.Errorf("diffID is %s, want %s", got.config.RootFS.DiffIDs[0], diffID)
			}
			info, err := c.Store.Info(t.Context(), layer.Digest)
			if err != nil || info.Labels["containerd.io/uncompressed"] != got.config.RootFS.DiffIDs[0].String() ||
				info.Labels["containerd.io/distribution.source.registry.example"] != "library/test" {
				t.Errorf("labels %v, %v", info.Labels, err)
			}
		})
	}
}

func TestEmptyLayers(t *testing.T) {
	t.Parallel()
	tar := v1test.Gzip(v1test.Tar(map[string]string{"a": "b"}))
	zero := make([]byte, 300<<10)
	rows := map[string][]byte{
		"no bytes":                {},
		"two zero blocks":         make([]byte, 1024),
		"many zeros":              zero,
		"gzip of nothing":         v1test.Gzip(nil),
		"gzip of two zero blocks": v1test.Gzip(make([]byte, 1024)),
		"gzip of many zeros":      v1test.Gzip(zero),
		"gzip twice of zeros":     v1test.Gzip(v1test.Gzip(zero)),
		"xz of zeros":             xzOf(t, zero),
		"zstd of zeros":           zstdOf(t, zero),
	}
	want := convert(t, &Converter{Store: localStore(t)}, imageOf(tar, nil, nil)).desc.Digest
	for name, data := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Converter{Store: localStore(t)}
			got := convert(t, c, imageOf(tar, data, nil))
			if !got.config.History[1].EmptyLayer || len(got.manifest.Layers) != 1 {
				t.Errorf("history %+v, layers %v", got.config.History, got.manifest.Layers)
			}
			if got.desc.Digest != want {
				t.Errorf("digest %s, want %s whatever the empty layer's form is", got.desc.Digest, want)
			}
			other := imageOf(data, data)
			other.Repository = "another"
			alone := convert(t, c, other)
			if n := len(alone.manifest.Layers); n != 1 || alone.manifest.Layers[0].Digest != "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef" {
				t.Errorf("an image of empty layers has %v", alone.manifest.Layers)
			}
		})
	}
}

func TestBadLayers(t *testing.T) {
	t.Parallel()
	tar := v1test.Tar(map[string]string{"a": strings.Repeat("content ", 30_000)})
	gz := v1test.Gzip(tar)
	flipped := bytes.Clone(gz)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	bigDictionary := xzOf(t, tar)
	// A header of a block: the property of LZMA2, and the checksum of it all.
	bigDictionary[16] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(bigDictionary[20:], crc32.ChecksumIEEE(bigDictionary[12:20]))
	small := ConvertLimits{Layer: 10_000, Unpacked: 50_000}
	rows := []struct {
		name   string
		data   []byte
		limits ConvertLimits
		want   string
	}{
		{"gzip that breaks off", gz[:len(gz)-20], ConvertLimits{}, "breaks off"},
		{"gzip with a wrong checksum", flipped, ConvertLimits{}, "invalid checksum"},
		{"gzip with something after it", append(bytes.Clone(gz), "garbage"...), ConvertLimits{}, "gzip"},
		{"tar that breaks off", tar[:100_000], ConvertLimits{}, "tar archive breaks off"},
		{"gzip of a tar that breaks off", v1test.Gzip(tar[:100_000]), ConvertLimits{}, "tar archive breaks off"},
		{"xz that breaks off", xzOf(t, tar)[:100], ConvertLimits{}, "breaks off"},
		{"xz that needs too much memory", bigDictionary, ConvertLimits{}, "dictionary of more than 64 MiB"},
		{"zstd that needs too much memory", packed(t, tar, func(w io.Writer) (io.WriteCloser, error) {
			return zstd.NewWriter(w, zstd.WithWindowSize(2*maxWindow))
		}), ConvertLimits{}, "window size exceeded"},
		{"a web page", []byte("<!DOCTYPE html><title>Log in</title>"), ConvertLimits{}, "page or message"},
		{"an error message", []byte(`{"error": "try later"}`), ConvertLimits{}, "page or message"},
		{"more bytes than allowed", tar, small, "more than 10000 bytes"},
		{"gzip that becomes larger than allowed", gz, small, "more than 50000 bytes when decompressed"},
		{"xz that becomes larger than allowed", xzOf(t, tar), small, "more than 50000 bytes when decompressed"},
		{"gzip four times", v1test.Gzip(v1test.Gzip(v1test.Gzip(gz))), ConvertLimits{}, "more than 3 times"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := localStore(t)
			c := &Converter{Store: store, Limits: row.limits, sleep: noSleep}
			_, err := c.Convert(t.Context(), imageOf(row.data))
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "layer 000") {
				t.Errorf("error %v, want %q", err, row.want)
			}
			nothingIn(t, store)
		})
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	g := bombGuard{}
	g.received.Store(1000)
	if err := g.grow(generous); err != nil {
		t.Errorf("1 GiB: %v", err)
	}
	if err := g.grow(1 << 20); err == nil || !strings.Contains(err.Error(), "1100 times") {
		t.Errorf("1 GiB and 1 MiB of 1000 bytes: %v", err)
	}
	g.received.Store(1 << 20)
	if err := g.grow(1 << 20); err != nil {
		t.Errorf("1 GiB of 1 MiB: %v", err)
	}
}

func TestLayerWarnings(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		data []byte
		want string
	}{
		{"no archive", []byte("something else"), "not a tar archive"},
		{"AUFS", v1test.Tar(map[string]string{".wh..wh.plnk/12.34": "x", "etc/a": "b"}), ".wh..wh.plnk"},
		{"AUFS below ./", v1test.Tar(map[string]string{"./.wh..wh.aufs": "x"}), ".wh..wh.aufs"},
		{"an opaque directory", v1test.Tar(map[string]string{".wh..wh..opq": "", "a/.wh..wh.plnk": ""}), ""},
		{"a whiteout", v1test.Tar(map[string]string{".wh.a": ""}), ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			for _, data := range [][]byte{row.data, v1test.Gzip(row.data), xzOf(t, row.data)} {
				var got error
				convert(t, &Converter{Store: localStore(t), Hooks: Hooks{OnWarning: func(err error) { got = err }}}, imageOf(data))
				if row.want == "" && got != nil || row.want != "" && (got == nil || !strings.Contains(got.Error(), row.want)) {
					t.Errorf("warning %v, want %q", got, row.want)
				}
			}
		})
	}
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// nothingIn fails if the store has blobs or unfinished ones.
func nothingIn(t testing.TB, store content.Store) {
	t.Helper()
	statuses, err := store.ListStatuses(t.Context())
	if err != nil || len(statuses) != 0 {
		t.Errorf("left behind: %v, %v", statuses, err)
	}
	_ = store.Walk(t.Context(), func(info content.Info) error {
		t.Errorf("left behind: %v", info)
		return nil
	})
}

// FuzzLayer takes any bytes for a layer.
func FuzzLayer(f *testing.F) {
	tar := v1test.Tar(map[string]string{"etc/motd": "hello"})
	for _, data := range [][]byte{tar, v1test.Gzip(tar), xzOf(f, tar), zstdOf(f, tar), v1test.Gzip(v1test.Gzip(tar)), make([]byte, 1024)} {
		f.Add(data)
	}
	limits := ConvertLimits{Layer: 1 << 20, Unpacked: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		var stored bytes.Buffer
		var p plan
		in := &intake{limits: limits, open: func(got plan) (io.Writer, error) { p = got; return &stored, nil }}
		for rest := data; len(rest) > 0; {
			c := newChunk()
			c.n = copy(c.buf[:], rest)
			rest = rest[c.n:]
			if err := in.write(c); err != nil {
				_ = in.abort(err)
				return
			}
		}
		got, err := in.close()
		if err != nil || got.empty {
			return
		}
		if len(p.peel) == 0 && !bytes.Equal(stored.Bytes(), data) {
			t.Error("the bytes were not kept")
		}
		if got.kind == plain && got.diffID != "" || got.kind != plain && got.diffID.Validate() != nil {
			t.Errorf("%v: diffID %q", got.kind, got.diffID)
		}
		again, err := planFor(stored.Bytes()[:min(stored.Len(), headSize)])
		if err != nil || len(again.peel) > 0 || again.kind != p.kind {
			t.Logf("what was stored as %v is %v", p, again) // beyond the beginning anything may follow
		}
	})
}

// TestRatioOfAnImage: many layers, each of them small enough, are as large.
func TestRatioOfAnImage(t *testing.T) {
	t.Parallel()
	var image bombGuard
	for i := range 3 {
		g := bombGuard{image: &image}
		g.receive(130 << 10)
		if err := g.grow(900 << 20); (err == nil) != (i == 0) {
			t.Errorf("layer %d: %v", i, err)
		}
	}
}
