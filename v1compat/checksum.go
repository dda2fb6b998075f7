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

// verifier compares what was received of a layer with what the registry said
// it would be. It guards against damage on the way, not against the registry.
type verifier struct {
	// payload are the "sha256:" checksums of docker 0.9 and later, over the JSON,
	// a line feed and the layer. Python's registry keeps several that it takes,
	// so one must match. tarsum and the others are not checked, as by Docker.
	payload []string
	sum     hash.Hash
	// want is a schema 1 manifest's digest of the layer.
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

// reset forgets the layer's bytes.
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

// writer returns where the layer's bytes go, nil if nothing is known of them.
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

// check fails if the bytes are not those announced.
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
