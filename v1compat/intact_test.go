package v1compat

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// TestLayersOfAnotherSource: a layer that one registry or repository has left in
// the store is given to the readers of another if that has it as well, which has
// to be asked; it is fetched by nobody twice.
func TestLayersOfAnotherSource(t *testing.T) {
	t.Parallel()
	data := v1test.Gzip(noise(3000))
	open := streamOf(data)
	for name, row := range map[string]struct {
		answer  error
		total   int64
		fails   bool
		fetched bool
	}{
		"has it":                    {total: int64(len(data))},
		"has it, of unknown length": {total: -1},
		"has another of this name":  {total: 7, fetched: true},
		"has it not":                {answer: errdefs.ErrNotFound, fails: true},
		"does not tell":             {answer: errdefs.ErrPermissionDenied, fails: true},
		"wants a login":             {answer: errdefs.ErrUnauthenticated, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := localStore(t)
			image := func(repository string) *Image {
				img := imageOf(data)
				img.Repository = repository
				img.Entries[0].Digest = digest.FromBytes(data)
				return img
			}
			want := convert(t, &Converter{Store: store}, image("library/secret"))
			img := image("library/other")
			var asked []int64
			img.Entries[0].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
				asked = append(asked, offset)
				if row.answer != nil {
					return nil, fmt.Errorf("no layer here: %w", row.answer)
				}
				s, err := open(ctx, offset)
				if offset > 0 {
					s.Total = row.total
				}
				return s, err
			}
			c := &Converter{Store: store}
			if row.fails {
				if desc, err := c.Convert(t.Context(), img); err == nil {
					t.Errorf("gave %s, which the other has", desc.Digest)
				}
				if len(asked) != 1 {
					t.Errorf("asked at %v, want once", asked)
				}
				return
			}
			if got := convert(t, c, img); got.desc.Digest != want.desc.Digest {
				t.Errorf("manifest %s, want %s", got.desc.Digest, want.desc.Digest)
			}
			wanted := []int64{int64(len(data)) - 1}
			if row.fetched {
				wanted = append(wanted, 0)
			}
			if fmt.Sprint(asked) != fmt.Sprint(wanted) {
				t.Errorf("asked at %v, want %v", asked, wanted)
			}
			// Now it is this one's, too.
			asked = nil
			convert(t, c, img)
			if len(asked) > 0 {
				t.Errorf("asked at %v for what is known", asked)
			}
		})
	}
}

// TestDamagedLayerIsFetchedAgain: what is known of a layer is not believed of
// what has become of it on the disk.
func TestDamagedLayerIsFetchedAgain(t *testing.T) {
	t.Parallel()
	layer := v1test.Gzip(noise(5000))
	for name, damage := range map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"longer":  func(b []byte) []byte { return append(b, 'x') },
		"empty":   func([]byte) []byte { return nil },
	} {
		for _, byDigest := range []bool{false, true} {
			t.Run(fmt.Sprint(name, byDigest), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				store := storeIn(t, dir)
				image := func() *Image {
					img := imageOf(layer)
					if byDigest {
						img.Entries[0].Digest = digest.FromBytes(layer)
					}
					return img
				}
				want := convert(t, &Converter{Store: store}, image())
				file := filepath.Join(dir, "blobs", "sha256", want.manifest.Layers[0].Digest.Encoded())
				if err := os.Chmod(file, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, damage(bytes.Clone(layer)), 0o600); err != nil {
					t.Fatal(err)
				}
				img := image()
				opened := counting(img)
				var warned sync.Map
				c := &Converter{Store: store, Hooks: Hooks{OnWarning: func(err error) { warned.Store(err.Error(), nil) }}}
				if got := convert(t, c, img); got.desc.Digest != want.desc.Digest {
					t.Errorf("manifest %s, want %s", got.desc.Digest, want.desc.Digest)
				}
				if opened.Load() != 1 {
					t.Errorf("opened %d times, want once", opened.Load())
				}
				if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, layer) {
					t.Errorf("still damaged: %d bytes, %v", len(got), err)
				}
				told := false
				warned.Range(func(text, _ any) bool { told = told || strings.Contains(fmt.Sprint(text), "damaged"); return true })
				if !told {
					t.Error("nobody is told")
				}
			})
		}
	}
}

// stubborn is a store that goes on with a damaged blob, as containerd does as
// long as another namespace has it.
type stubborn struct{ content.Store }

// Delete implements content.Store.
func (stubborn) Delete(context.Context, digest.Digest) error { return nil }

// TestDamagedLayerThatStays is an error that says what to do.
func TestDamagedLayerThatStays(t *testing.T) {
	t.Parallel()
	layer := v1test.Gzip(noise(5000))
	dir := t.TempDir()
	store := stubborn{storeIn(t, dir)}
	dgst := convert(t, &Converter{Store: store}, imageOf(layer)).manifest.Layers[0].Digest
	file := filepath.Join(dir, "blobs", "sha256", dgst.Encoded())
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Repeat([]byte("x"), len(layer)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := (&Converter{Store: store}).Convert(t.Context(), imageOf(layer))
	if err == nil || !strings.Contains(err.Error(), dgst.String()+" is damaged") || !strings.Contains(err.Error(), "remove it there") {
		t.Errorf("got %v", err)
	}
}

// countingReader counts the reads of a blob.
type countingReader struct {
	*bytes.Reader
	reads int
}

// ReadAt implements content.ReaderAt.
func (r *countingReader) ReadAt(p []byte, at int64) (int, error) {
	r.reads++
	return r.Reader.ReadAt(p, at)
}

// Close implements content.ReaderAt.
func (*countingReader) Close() error { return nil }

// TestIntactOnce: a blob is read once in a process, but never believed of
// another of its name.
func TestIntactOnce(t *testing.T) {
	t.Parallel()
	body := []byte("TestIntactOnce's own")
	info := content.Info{Digest: digest.FromBytes(body), Size: int64(len(body)), CreatedAt: time.Unix(1, 0)}
	look := func(info content.Info, body []byte) (bool, int) {
		r := &countingReader{Reader: bytes.NewReader(body)}
		ok, err := isIntact(t.Context(), info, r)
		if err != nil {
			t.Error(err)
		}
		return ok, r.reads
	}
	if ok, reads := look(info, body); !ok || reads == 0 {
		t.Errorf("first: intact %t after %d reads", ok, reads)
	}
	if ok, reads := look(info, body); !ok || reads > 0 {
		t.Errorf("again: intact %t after %d reads", ok, reads)
	}
	if ok, _ := look(info, body[1:]); ok {
		t.Error("a cut one is intact")
	}
	info.CreatedAt = time.Unix(2, 0)
	if ok, reads := look(info, bytes.ToUpper(body)); ok || reads == 0 {
		t.Errorf("one written later: intact %t after %d reads", ok, reads)
	}
}
