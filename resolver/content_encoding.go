package resolver

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/bounded"
	"github.com/certsd/containerd-certsd/internal/manifest"
)

// Content with a digest is requested without any coding. Servers send
// Content-Encoding nevertheless: nginx's gzip_static and Apache's AddEncoding for
// stored files, object stores because the uploader set it. The bytes may have been
// compressed in transit, or the header may merely label what is stored. The digest
// decides where it can be computed; for a large blob, the length and the content do.

// encodings returns the codings in a header, in the order in which to undo them.
func encodings(header string) []string {
	var found []string
	for name := range strings.SplitSeq(strings.ToLower(header), ",") {
		switch name = strings.TrimSpace(name); name {
		case "", "identity":
		case "x-gzip":
			found = append([]string{"gzip"}, found...)
		default:
			found = append([]string{name}, found...)
		}
	}
	return found
}

var errEncoding = errors.New("an unknown content coding")

// decoded returns a reader that undoes codings.
func decoded(r io.Reader, codings []string) (io.Reader, error) {
	for _, coding := range codings {
		switch coding {
		case "gzip":
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, err
			}
			r = z
		case "deflate":
			r = inflater(r)
		case "zstd":
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
			if err != nil {
				return nil, err
			}
			r = z.IOReadCloser()
		default:
			return nil, errEncoding
		}
	}
	return r, nil
}

// inflater reads "deflate": by RFC 9110 the zlib format, but from many servers the
// raw deflate data inside it.
func inflater(r io.Reader) io.Reader {
	buffered := bufio.NewReader(r)
	begin, err := buffered.Peek(2)
	if err == nil && begin[0]&0x0f == 8 && (int(begin[0])<<8|int(begin[1]))%31 == 0 {
		if z, err := zlib.NewReader(buffered); err == nil {
			return z
		}
	}
	return flate.NewReader(buffered)
}

// plainOf returns a manifest without the codings it was sent with.
func plainOf(raw []byte, header string, want digest.Digest) []byte {
	codings := encodings(header)
	if len(codings) == 0 || want.Validate() == nil && want.Algorithm().FromBytes(raw) == want {
		return raw
	}
	if _, err := manifest.Parse(raw, ""); err == nil {
		return raw
	}
	r, err := decoded(bytes.NewReader(raw), codings)
	if err != nil {
		return raw
	}
	body, err := io.ReadAll(io.LimitReader(r, manifest.MaxSize+1))
	if err != nil {
		return raw
	}
	return body
}

// blob requests a blob, or a part of one.
func (o *objects) blob(req *http.Request, object string) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := o.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return resp, err
	}
	codings := encodings(resp.Header.Get("Content-Encoding"))
	if len(codings) == 0 {
		resp.Header.Del("Content-Encoding") // identity
		return resp, nil
	}
	desc, known := blobIn(req.Context())
	size := desc.Size
	total := resp.ContentLength
	if resp.StatusCode == http.StatusPartialContent {
		part, _ := bounded.ParseContentRange(resp.Header.Get("Content-Range"))
		total = part.Total
		if known && total >= 0 && total != size {
			// A part of compressed content is useless.
			closing(resp)
			req = req.Clone(req.Context())
			req.Header.Del("Range")
			return o.blob(req, object)
		}
	}
	resp.Header.Del("Content-Encoding")
	if resp.StatusCode == http.StatusPartialContent || known && total == size {
		return resp, nil
	}
	return unpacked(resp, codings, digest.Digest(object), known && total >= 0, isPlainLayer(desc.MediaType))
}

// maxTried is how much of a blob is kept to find out whether its digest covers the
// coded or the decoded bytes.
const maxTried = 1 << 20

// isPlainLayer reports whether layers of a media type are stored uncompressed: one
// that begins like a compressed layer was compressed in transit.
func isPlainLayer(mediaType string) bool {
	return images.IsLayerType(mediaType) && !strings.Contains(mediaType, "+") && !strings.HasSuffix(mediaType, ".gzip")
}

// unpacked undoes the codings of a blob if they were applied in transit. packed
// reports whether the length shows that, plainLayer whether the blob is an
// uncompressed layer.
func unpacked(resp *http.Response, codings []string, want digest.Digest, packed, plainLayer bool) (*http.Response, error) {
	body := resp.Body
	begin, err := io.ReadAll(io.LimitReader(body, maxTried))
	if err != nil {
		closing(resp)
		return nil, err
	}
	rest := io.MultiReader(bytes.NewReader(begin), body)
	resp.Body = &joined{rest, body}
	if len(begin) < maxTried && want.Validate() == nil && want.Algorithm().FromBytes(begin) == want {
		return resp, nil
	}
	plain, err := decoded(bytes.NewReader(begin), codings)
	if err != nil {
		return resp, nil // a label
	}
	switch {
	case packed || len(begin) < maxTried:
	case plainLayer && !begins(plain):
		return resp, nil
	case !plainLayer && !compressed(plain):
		// The decoded bytes would not be a layer as registries store them.
		return resp, nil
	}
	if !packed && len(begin) < maxTried && !isOf(begin, codings, want) {
		return resp, nil
	}
	if plain, err = decoded(rest, codings); err != nil {
		closing(resp)
		return nil, err
	}
	resp.Body, resp.ContentLength = &joined{plain, body}, -1
	resp.Header.Del("Content-Length")
	return resp, nil
}

// begins reports whether the beginning of a stream can be read.
func begins(r io.Reader) bool {
	_, err := io.Copy(io.Discard, io.LimitReader(r, maxTried*maxRatio))
	return err == nil || errors.Is(err, io.ErrUnexpectedEOF)
}

// isOf reports whether the decoded bytes have the digest.
func isOf(raw []byte, codings []string, want digest.Digest) bool {
	plain, err := decoded(bytes.NewReader(raw), codings)
	if err != nil || want.Validate() != nil {
		return false
	}
	verifier := want.Verifier()
	_, err = io.Copy(verifier, io.LimitReader(plain, maxTried*maxRatio))
	return err == nil && verifier.Verified()
}

// maxRatio bounds the decompression of maxTried bytes.
const maxRatio = 64

// compressed reports whether a stream begins like a compressed layer.
func compressed(r io.Reader) bool {
	begin, _ := bufio.NewReader(r).Peek(6)
	for _, magic := range []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh"} {
		if strings.HasPrefix(string(begin), magic) {
			return true
		}
	}
	return false
}

type joined struct {
	io.Reader
	io.Closer
}

// isEmpty reports whether d is the digest of empty content.
func isEmpty(d digest.Digest) bool {
	return d.Validate() == nil && d.Algorithm().FromBytes(nil) == d
}

// blobHead makes a HEAD request for a blob. Servers that do not know the length send
// zero, and some do not support HEAD: those are asked with GET before anything is
// concluded.
func (o *objects) blobHead(req *http.Request, object string) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if inconclusive(resp.StatusCode) && !notThere(req, resp) {
		closing(resp)
		get := req.Clone(req.Context())
		get.Method = http.MethodGet
		if resp, err = o.blob(get, object); err != nil {
			return nil, err
		}
		closing(resp)
		resp.Body = http.NoBody
	}
	if resp.StatusCode == http.StatusOK && resp.ContentLength == 0 && !isEmpty(digest.Digest(object)) {
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	}
	return resp, nil
}
