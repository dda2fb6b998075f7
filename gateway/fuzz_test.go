package gateway

import (
	"bytes"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

// FuzzVerifier reads right and wrong content in pieces of all sizes: right
// content comes whole, of wrong content the last byte never does.
func FuzzVerifier(f *testing.F) {
	f.Add([]byte("content"), []byte("content"), 3, false)
	f.Add([]byte("content"), []byte("contents"), 1, true)
	f.Add([]byte{}, []byte{}, 1, true)
	f.Add([]byte{}, []byte("x"), 2, false)
	f.Fuzz(func(t *testing.T, named, content []byte, size int, early bool) {
		if size < 1 || size > 1<<16 {
			return
		}
		var r io.Reader = bytes.NewReader(content)
		if early {
			r = iotest.DataErrReader(r) // the end comes with the last bytes
		}
		v := newVerifier(r, "ref", digest.FromBytes(named))
		var got []byte
		var err error
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = v.Read(p)
			got = append(got, p[:n]...)
			if len(got) > len(content) {
				t.Fatal("more than there is")
			}
		}
		right := bytes.Equal(named, content)
		if right != (err == io.EOF) || right != bytes.Equal(got, content) || !bytes.HasPrefix(content, got) {
			if !right && len(content) == 0 && err != io.EOF {
				return // of nothing there is no last byte
			}
			t.Errorf("read %d of %d bytes in pieces of %d: %v", len(got), len(content), size, err)
		}
	})
}

// FuzzConditions reads the validators and ranges of requests: another validator
// than ours never keeps content back.
func FuzzConditions(f *testing.F) {
	const etag = "sha256:abc"
	for _, v := range []string{"", "*", `"sha256:abc"`, `W/"sha256:abc"`, `"x", "sha256:abc"`, `"sha256:abc`, ",,", "bytes=0-", "bytes=-1,3-4"} {
		f.Add(v, v, v)
	}
	f.Fuzz(func(t *testing.T, match, ifRange, ranges string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.Header.Set("If-None-Match", match)
		r.Header.Set("If-Range", ifRange)
		r.Header.Set("Range", ranges)
		if etagMatches(r, etag) && !strings.Contains(match, `"`+etag+`"`) && !strings.Contains(match, "*") {
			t.Errorf("%q is taken for the content at hand", match)
		}
		wanted := wantedRange(r, etag)
		if wanted != "" && (wanted != ranges || strings.Contains(wanted, ",") || ifRange != "" && ifRange != `"`+etag+`"`) {
			t.Errorf("%q with %q asks for %q", ranges, ifRange, wanted)
		}
	})
}

// FuzzLabels reads what may be in a file of labels after a power cut, and writes
// to it.
func FuzzLabels(f *testing.F) {
	for _, text := range []string{"", "null", "{}", `{"a":"b"}`, `{"a":1}`, `["a"]`, `{"a":"b"}{"c":"d"}`, "{\"\x00\":\"\xff\"}"} {
		f.Add([]byte(text), "a")
	}
	d := digest.FromString("blob")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		dir := t.TempDir()
		l := newLabels(dir)
		must(t, os.MkdirAll(filepath.Dir(labelFiles{dir}.path(d)), 0o700))
		must(t, os.WriteFile(labelFiles{dir}.path(d), text, 0o600))
		before, err := l.Get(d)
		must(t, err)
		key = strings.ToValidUTF8(key, "?")
		after, err := l.Update(d, map[string]string{key: "value"})
		must(t, err)
		if after[key] != "value" {
			t.Errorf("%q is %q", key, after[key])
		}
		again, err := l.Get(d)
		must(t, err)
		for k := range before {
			if v, ok := again[k]; k != key && before[k] != "" && (!ok || v != before[k]) {
				t.Errorf("%q was %q and is %q", k, before[k], v)
			}
		}
	})
}
