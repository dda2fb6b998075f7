package v1compat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// verifier compares the bytes received for a layer with the checksums announced for
// it. It guards against damage in transit, not against the registry.
type verifier struct {
	// payload holds the "sha256:" checksums of Docker 0.9 and later, over the JSON, a
	// line feed and the layer. The Python registry keeps several acceptable ones, of
	// which one must match. Like Docker, the verifier ignores tarsum and the others.
	payload []string
	sum     hash.Hash
	// want is the layer's digest in a schema 1 manifest.
	want   digest.Digest
	digest digest.Digester
}

func newVerifier(e *Entry) *verifier {
	v := &verifier{want: e.Digest}
	for _, value := range e.Checksums {
		value = strings.ToLower(strings.TrimSpace(value))
		if digest.Digest(value).Validate() == nil && strings.HasPrefix(value, "sha256:") {
			v.payload = append(v.payload, value)
		}
	}
	v.reset(e)
	return v
}

// reset discards the bytes hashed so far.
func (v *verifier) reset(e *Entry) {
	if len(v.payload) > 0 {
		v.sum = sha256.New()
		_, _ = v.sum.Write(e.JSON)
		_, _ = v.sum.Write([]byte{'\n'})
	}
	if v.want != "" {
		v.digest = v.want.Algorithm().Digester()
	}
}

// writer returns the destination of the layer's bytes, nil if there is nothing to
// verify.
func (v *verifier) writer() io.Writer {
	switch {
	case v.sum != nil && v.digest != nil:
		return io.MultiWriter(v.sum, v.digest.Hash())
	case v.sum != nil:
		return v.sum
	case v.digest != nil:
		return v.digest.Hash()
	}
	return nil
}

// check fails if the bytes do not match what was announced.
func (v *verifier) check() error {
	if v.digest != nil && v.digest.Digest() != v.want {
		return &corruptError{fmt.Errorf("its digest is %s, the manifest's %s", v.digest.Digest(), v.want)}
	}
	if v.sum == nil {
		return nil
	}
	got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil))
	if !slices.Contains(v.payload, got) {
		return &corruptError{fmt.Errorf("its checksum with the image JSON is %s, the registry's %s",
			got, strings.Join(v.payload, " or "))}
	}
	return nil
}
