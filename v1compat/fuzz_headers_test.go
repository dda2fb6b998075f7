package v1compat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzPing reads what registries say of themselves: none of it moves a cursor.
func FuzzPing(f *testing.F) {
	for _, body := range []string{"true", "{}", "pong", `{"version":"0.9","standalone":false}`, `{"version":null}`, `{"version":"\u001b[31m"}`, `{"standalone":1}`, "<html>"} {
		f.Add([]byte(body), "0.6\x1b[2J", "True")
		f.Add([]byte(body), "", "")
	}
	f.Fuzz(func(t *testing.T, body []byte, version, standalone string) {
		p := parsePing(http.StatusOK, http.Header{"X-Docker-Registry-Version": {version}, "X-Docker-Registry-Standalone": {standalone}}, body)
		if p.Status != http.StatusOK || !utf8.ValidString(p.Version) || strings.ContainsFunc(p.Version, unicode.IsControl) {
			t.Errorf("%+v", p)
		}
		if standalone != "" && p.Standalone != (standalone == "1" || strings.EqualFold(standalone, "true")) {
			t.Errorf("standalone %q is %t", standalone, p.Standalone)
		}
	})
}

// FuzzChecksums reads the headers with a layer's checksums. What can be checked
// is: the layer passes if and only if one of them is its own.
func FuzzChecksums(f *testing.F) {
	layer, doc := []byte("layer"), []byte(`{"id":"x"}`)
	sum := sha256.Sum256([]byte(string(doc) + "\nlayer"))
	right := "sha256:" + hex.EncodeToString(sum[:])
	f.Add(right, "", layer)
	f.Add(strings.ToUpper(right), "tarsum+sha256:ab", layer)
	f.Add("sha256:"+strings.Repeat("0", 64), right, layer)
	f.Add("sha256:"+strings.Repeat("0", 64), ",,", layer)
	f.Add("md5:1", strings.Repeat("x,", 40), []byte("other"))
	f.Fuzz(func(t *testing.T, payload, old string, layer []byte) {
		list := checksums(http.Header{"X-Docker-Checksum-Payload": {payload}, "X-Docker-Checksum": {old}})
		if len(list) > 16 {
			t.Fatalf("%d checksums", len(list))
		}
		sum := sha256.New()
		sum.Write(doc)
		sum.Write([]byte{'\n'})
		sum.Write(layer)
		own := "sha256:" + hex.EncodeToString(sum.Sum(nil))
		checkable, mine := false, false
		for _, value := range list {
			if len(value) > 256 || value == "" {
				t.Errorf("checksum %q", value)
			}
			value = strings.ToLower(strings.TrimSpace(value))
			if digits, ok := strings.CutPrefix(value, "sha256:"); ok {
				if b, err := hex.DecodeString(digits); err == nil && len(b) == sha256.Size {
					checkable, mine = true, mine || value == own
				}
			}
		}
		v := newVerifier(&Entry{JSON: doc, Checksums: list})
		w := v.writer()
		if (w != nil) != checkable {
			t.Fatalf("%q can be checked: %t", list, w != nil)
		}
		if w == nil {
			return
		}
		_, _ = w.Write(bytes.Clone(layer))
		if err := v.check(); (err == nil) != mine {
			t.Errorf("%q for %s: %v", list, own, err)
		}
	})
}
