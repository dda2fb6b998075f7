package v1compat

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// costly is a manifest with signatures of an RSA key of so many bytes. They are
// wrong, and would take ages to find out.
func costly(t *testing.T, size, signatures int) []byte {
	t.Helper()
	n, sig := make([]byte, size), make([]byte, size)
	_, _ = rand.Read(n)
	_, _ = rand.Read(sig)
	n[0] |= 0x80
	n[size-1] |= 1
	sig[0] = 0
	payload := `{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[{"blobSum":"sha256:` + strings.Repeat("e", 64) + `"}],"history":[{"v1Compatibility":"{}"}]`
	protected, err := json.Marshal(map[string]any{"formatLength": len(payload), "formatTail": b64([]byte("}"))})
	if err != nil {
		t.Fatal(err)
	}
	one := fmt.Sprintf(`{"header":{"alg":"RS256","jwk":{"kty":"RSA","n":%q,"e":%q}},"signature":%q,"protected":%q}`,
		b64(n), b64([]byte{0x7f, 0xff, 0xff, 0xff}), b64(sig), b64(protected))
	return []byte(payload + `,"signatures":[` + strings.Repeat(one+",", signatures-1) + one + `]}`)
}

// TestSchema1VerificationIsBounded refuses keys that keep a processor busy
// before it computes with them: verification itself cannot be given up.
func TestSchema1VerificationIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		size, signatures int
		want             string
	}{
		{"a key of a megabit", 128 << 10, 1, "has a key of more than 16384 bytes"},
		{"a key that is a little too large", 1025, 1, "has an RSA key of 8200 bits, more than 8192"},
		{"the largest key", 1024, 1, "is wrong"},
		{"too many signatures", 256, 17, "17 signatures, more than 16"},
	} {
		_, err := ParseSchema1(costly(t, tt.size, tt.signatures), "")
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %.300v", tt.name, err)
		}
	}
}

// TestSchema1HistoryIsBounded refuses a history that no image has.
func TestSchema1HistoryIsBounded(t *testing.T) {
	t.Parallel()
	blob := `{"blobSum":"sha256:` + strings.Repeat("e", 64) + `"}`
	of := func(n int) []byte {
		return []byte(`{"schemaVersion":1,"fsLayers":[` + strings.Repeat(blob+",", n-1) + blob + `],"history":[` +
			strings.Repeat(`{"v1Compatibility":"{}"},`, n-1) + `{"v1Compatibility":"{}"}]}`)
	}
	if _, err := ParseSchema1(of(maxSteps), ""); err != nil {
		t.Error(err)
	}
	if _, err := ParseSchema1(of(maxSteps+1), ""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("error %v", err)
	}
}
