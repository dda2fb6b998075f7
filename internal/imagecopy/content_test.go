package imagecopy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestTheLastOfABlobIsHeldBack until the whole is known to be right.
func TestTheLastOfABlobIsHeldBack(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 3*chunk + 5} {
		data := bytes.Repeat([]byte("x"), size)
		desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(size)}
		other := bytes.Clone(data)
		if size > 0 {
			other[size-1] = 'y'
		}
		for name, row := range map[string]struct {
			source io.Reader
			whole  bool
			want   string
		}{
			"right":         {bytes.NewReader(data), true, ""},
			"byte by byte":  {iotest.OneByteReader(bytes.NewReader(data)), true, ""},
			"EOF with data": {iotest.DataErrReader(bytes.NewReader(data)), true, ""},
			"other content": {bytes.NewReader(other), size == 0, "the source sends other content than "},
			"one byte less": {bytes.NewReader(data[:max(0, size-1)]), size == 0, "the source ends after "},
			"one byte more": {bytes.NewReader(append(bytes.Clone(data), 'x')), false, "the source sends more than the "},
			"an error":      {io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), false, "broken"},
			"a cut":         {io.MultiReader(bytes.NewReader(data[:size/2]), iotest.ErrReader(io.ErrUnexpectedEOF)), size == 0, "the source ends after "},
		} {
			var got bytes.Buffer
			told := int64(0)
			err := send(&got, row.source, desc, func(n int64) { told = n })
			if row.whole {
				if err != nil || !bytes.Equal(got.Bytes(), data) || told != desc.Size {
					t.Errorf("%d bytes, %s: %d bytes, told %d: %v", size, name, got.Len(), told, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
			if got.Len() >= size && size > 0 || got.Len() > size {
				t.Errorf("%d bytes, %s: %d were passed on", size, name, got.Len())
			}
		}
	}
}

func TestSendStopsWhereTheTargetDoes(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 3*chunk)
	r, w := io.Pipe()
	_ = r.CloseWithError(errors.New("full"))
	err := send(w, bytes.NewReader(data), ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}, func(int64) {})
	if err == nil || err.Error() != "full" {
		t.Errorf("got %v", err)
	}
}

func TestManifestsThatCannotBeCopied(t *testing.T) {
	t.Parallel()
	image, index := ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	many := `{"manifests":[` + strings.Repeat(`{},`, maxNodes) + `{}]}`
	for name, row := range map[string]struct{ mediaType, body, want string }{
		"no JSON":            {image, "<html>", ": not a manifest: it is not valid JSON from byte 1 on"},
		"no configuration":   {image, `{"layers":[]}`, ": the manifest has no configuration"},
		"another type":       {"text/plain", `{}`, `: a manifest of the type "text/plain" cannot be copied`},
		"a digest of none":   {index, `{"manifests":[{}]}`, ` names "": invalid checksum digest format`},
		"a digest of a path": {index, `{"manifests":[{"digest":"sha256:` + strings.Repeat("../", 21) + `x"}]}`, `: invalid checksum digest format`},
		"an unknown one":     {index, `{"manifests":[{"digest":"md5:` + strings.Repeat("0", 32) + `"}]}`, `unsupported digest algorithm`},
		"a negative size":    {index, `{"manifests":[{"digest":"sha256:` + strings.Repeat("0", 64) + `","size":-1}]}`, `: a size of -1 bytes`},
		"too much":           {index, many, ": names 10001 others, more than 10000"},
	} {
		desc := ocispec.Descriptor{MediaType: row.mediaType, Digest: digest.FromString(row.body)}
		if _, err := childrenOf(desc, []byte(row.body)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzChildrenOf(f *testing.F) {
	f.Add(true, []byte(`{"manifests":[{"digest":"sha256:4f4fb700ef54461cfa02571ae0db9a0dc1e0cdb5577484a6d75e68dc38e8acc1","size":1}]}`))
	f.Add(false, []byte(`{"config":{"digest":"x"},"layers":[{"urls":["y"]}]}`))
	f.Add(false, []byte(`null`))
	f.Fuzz(func(t *testing.T, index bool, body []byte) {
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(body)}
		if index {
			desc.MediaType = ocispec.MediaTypeImageIndex
		}
		children, err := childrenOf(desc, body)
		for _, c := range children {
			if err != nil || c.Digest.Validate() != nil || c.Size < 0 {
				t.Errorf("%q names %+v: %v", body, c, err)
			}
		}
	})
}
