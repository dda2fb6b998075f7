package v1compat

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/go-jose/go-jose/v4"
	"github.com/opencontainers/go-digest"
)

// schema1Step is one step of a manifest to be made.
type schema1Step struct {
	blob []byte
	json map[string]any
}

// schema1Of makes an unsigned manifest, base first.
func schema1Of(t testing.TB, steps ...schema1Step) []byte {
	t.Helper()
	doc := map[string]any{"schemaVersion": 1, "name": "library/test", "tag": "latest", "architecture": "amd64"}
	var layers, history []map[string]any
	parent := ""
	for i, s := range steps {
		id := fmt.Sprintf("%064x", i+1)
		fields := map[string]any{"id": id, "created": "2014-06-01T12:00:00Z", "config": map[string]any{"Cmd": []string{"sh"}}}
		if parent != "" {
			fields["parent"] = parent
		}
		maps.Copy(fields, s.json)
		parent = id
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, map[string]any{"blobSum": digest.FromBytes(s.blob)})
		history = append(history, map[string]any{"v1Compatibility": string(body)})
	}
	slices.Reverse(layers)
	slices.Reverse(history)
	doc["fsLayers"], doc["history"] = layers, history
	body, err := json.MarshalIndent(doc, "", "   ")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// signature signs a payload as libtrust does.
func signature(t testing.TB, key crypto.Signer, payload []byte) map[string]any {
	t.Helper()
	cut := bytes.LastIndexByte(payload, '\n')
	protected := b64([]byte(fmt.Sprintf(`{"formatLength":%d,"formatTail":%q,"time":"2015-01-01T00:00:00Z"}`, cut, b64(payload[cut:]))))
	sum := sha256.Sum256([]byte(protected + "." + b64(payload)))
	var sig []byte
	alg := "ES256"
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		alg = "RS256"
		var err error
		if sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]any{
		"header":    map[string]any{"alg": alg, "jwk": jose.JSONWebKey{Key: key.Public(), KeyID: "AAAA:BBBB"}},
		"signature": b64(sig), "protected": protected,
	}
}

// signed puts signatures into a manifest as libtrust does: before its end.
func signed(t testing.TB, payload []byte, signatures ...map[string]any) []byte {
	t.Helper()
	cut := bytes.LastIndexByte(payload, '\n')
	list, err := json.MarshalIndent(signatures, "   ", "   ")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(string(payload[:cut]) + ",\n   \"signatures\": " + string(list) + "\n}")
}

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestParseSchema1(t *testing.T) {
	t.Parallel()
	key := ecKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	base, leaf := schema1Step{blob: []byte("base")}, schema1Step{blob: []byte("leaf")}
	payload := schema1Of(t, base, leaf)
	one := signed(t, payload, signature(t, key, payload))
	sum := digest.FromBytes(payload)
	edit := func(body []byte, was, is string) []byte {
		if !bytes.Contains(body, []byte(was)) {
			t.Fatalf("no %q in %s", was, body)
		}
		return bytes.Replace(body, []byte(was), []byte(is), 1)
	}
	swapped := signature(t, key, payload)
	swapped["signature"] = signature(t, key, schema1Of(t, base))["signature"]
	otherKey := signature(t, key, payload)
	otherKey["header"] = signature(t, ecKey(t), payload)["header"]
	none := signature(t, key, payload)
	none["header"] = map[string]any{"alg": "none", "jwk": jose.JSONWebKey{Key: key.Public()}}
	other := signature(t, key, append(slices.Clip(payload[:bytes.LastIndexByte(payload, '\n')]), "\n }"...))
	wrongKind := signature(t, key, payload)
	wrongKind["header"] = map[string]any{"alg": "RS256", "jwk": jose.JSONWebKey{Key: key.Public()}}
	hmac := signature(t, key, payload)
	hmac["header"] = map[string]any{"alg": "HS256", "jwk": jose.JSONWebKey{Key: []byte("secret")}}

	rows := []struct {
		name string
		body []byte
		want digest.Digest
		err  string
	}{
		{"unsigned", payload, sum, ""},
		{"unsigned, no digest known", payload, "", ""},
		{"unsigned, another digest", payload, digest.FromString("other"), "it has the digest"},
		{"unsigned, digest of SHA-512", payload, digest.SHA512.FromBytes(payload), ""},
		{"no digest at all", payload, "sha256:abc", "digest"},
		{"signed", one, sum, ""},
		{"signed with RSA", signed(t, payload, signature(t, rsaKey, payload)), sum, ""},
		{"signed twice", signed(t, payload, signature(t, key, payload), signature(t, rsaKey, payload)), sum, ""},
		{"signed, digest of the whole document", one, digest.FromBytes(one), ""},
		{"signed, another digest", one, digest.FromString("other"), "it has the digest"},
		{"signed, then changed", edit(one, `"tag": "latest"`, `"tag": "Latest"`), "", "signature 0: is wrong"},
		{"signature of something else", signed(t, payload, swapped), sum, "signature 0: is wrong"},
		{"signature of another key", signed(t, payload, otherKey), sum, "signature 0: is wrong"},
		{"second signature wrong", signed(t, payload, signature(t, key, payload), otherKey), sum, "signature 1: is wrong"},
		{"second signature of something else", signed(t, payload, signature(t, key, payload), other), sum, "signature 1: signs other content than the first"},
		{"algorithm of another kind of key", signed(t, payload, wrongKind), sum, "signature 0: is wrong"},
		{"algorithm none", signed(t, payload, none), sum, "algorithm"},
		{"algorithm with a secret", signed(t, payload, hmac), sum, "algorithm"},
		{"too many signatures", signed(t, payload, slices.Repeat([]map[string]any{signature(t, key, payload)}, maxSignatures+1)...), sum, "17 signatures"},
		{"too large", append(bytes.Repeat([]byte(" "), maxSchema1), payload...), "", "more than the limit"},
		{"no key", edit(one, `"jwk"`, `"kwj"`), sum, "has no key"},
		{"not JSON", []byte("<html>"), "", "it is not valid JSON"},
		{"nothing", nil, "", "it is not valid JSON"},
		{"another schema", edit(payload, `"schemaVersion": 1`, `"schemaVersion": 2`), "", "schemaVersion is 2"},
		{"two kinds of manifest", edit(payload, `"schemaVersion"`, `"layers": [], "schemaVersion"`), "", "another kind"},
		{"an index, too", edit(payload, `"schemaVersion"`, `"manifests": [], "schemaVersion"`), "", "another kind"},
		{"more layers than history", edit(payload, `"fsLayers": [`, `"fsLayers": [{"blobSum": "`+string(sum)+`"},`), "", "a history of 2"},
		{"no history", []byte(`{"schemaVersion":1}`), "", "no history"},
		{"a blob that is no digest", edit(payload, string(digest.FromBytes(base.blob)), "sha256:../../etc/passwd"), "", "fsLayers[1]"},
		{"history that is no JSON", edit(payload, `"v1Compatibility": "{`, `"v1Compatibility": "`), "", "history[0]"},
		{"a parent that is not there", schema1Of(t, base, schema1Step{blob: leaf.blob, json: map[string]any{"parent": strings.Repeat("f", 64)}}), "", "parent"},
		{"a base with a parent", schema1Of(t, schema1Step{blob: base.blob, json: map[string]any{"parent": strings.Repeat("f", 64)}}), "", "parent"},
		{"an id that is none", schema1Of(t, schema1Step{json: map[string]any{"id": "../x"}}), "", "not an image id"},
		{"an id twice", schema1Of(t, base, leaf, schema1Step{json: map[string]any{"id": fmt.Sprintf("%064x", 1)}}), "", "twice"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m, err := ParseSchema1(row.body, row.want)
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) || !errdefs.IsInvalidArgument(err) {
					t.Errorf("error %v, want %q", err, row.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Digest != sum || m.Signed != bytes.Contains(row.body, []byte("signatures")) {
				t.Errorf("digest %s, signed %v", m.Digest, m.Signed)
			}
			if len(m.Layers) != 2 || m.Layers[0].Blob != digest.FromBytes(base.blob) || m.Layers[1].Blob != digest.FromBytes(leaf.blob) {
				t.Errorf("layers %v", m.Layers)
			}
		})
	}
}

func TestSchema1Name(t *testing.T) {
	t.Parallel()
	m := &Schema1{Name: "library/test", Tag: "latest"}
	if err := m.CheckName("library/test", "latest"); err != nil {
		t.Error(err)
	}
	if err := m.CheckName("library/test", ""); err != nil {
		t.Errorf("by digest: %v", err)
	}
	if m.CheckName("mirror/test", "latest") == nil || m.CheckName("library/test", "1") == nil {
		t.Error("another name or tag is not noticed")
	}
}

// TestSchema1Convert converts one image in all its forms: all give the same.
func TestSchema1Convert(t *testing.T) {
	t.Parallel()
	base, leaf := v1test.Gzip(noise(3000)), v1test.Gzip(noise(5000))
	nothing := v1test.Gzip(make([]byte, 1024))
	throwaway := schema1Step{blob: nothing, json: map[string]any{"throwaway": true}}
	blank := schema1Step{blob: nothing, json: map[string]any{}}
	steps := func(second schema1Step) []schema1Step {
		return []schema1Step{{blob: base}, second, {blob: leaf}, {blob: base}, second}
	}
	payload := schema1Of(t, steps(throwaway)...)
	twice := schema1Of(t, append(steps(throwaway), schema1Step{blob: nothing, json: map[string]any{
		"id": fmt.Sprintf("%064x", 5), "parent": fmt.Sprintf("%064x", 4), "throwaway": true,
	}})...)
	blobs := map[digest.Digest][]byte{}
	for _, data := range [][]byte{base, leaf, nothing} {
		blobs[digest.FromBytes(data)] = data
	}
	rows := []struct {
		name     string
		body     []byte
		requests int
	}{
		{"unsigned", payload, 2},
		{"signed", signed(t, payload, signature(t, ecKey(t), payload)), 2},
		{"empty layers not marked", schema1Of(t, steps(blank)...), 3},
		{"the last step twice", twice, 2},
	}
	var want digest.Digest
	for _, row := range rows { // in order: each is compared to the first
		m, err := ParseSchema1(row.body, "")
		if err != nil {
			t.Fatal(err)
		}
		requests := make(chan digest.Digest, 100)
		open := func(ctx context.Context, dgst digest.Digest, offset int64) (*LayerStream, error) {
			requests <- dgst
			return streamOf(blobs[dgst])(ctx, offset)
		}
		c := &Converter{Store: localStore(t)}
		got := convert(t, c, m.Image("registry.example", "library/test", open))
		if want == "" {
			want = got.desc.Digest
		}
		if got.desc.Digest != want {
			t.Errorf("%s: manifest %s, want %s", row.name, got.desc.Digest, want)
		}
		if len(got.manifest.Layers) != 3 || got.manifest.Layers[0].Digest != got.manifest.Layers[2].Digest {
			t.Errorf("%s: layers %v", row.name, got.manifest.Layers)
		}
		if len(requests) != row.requests {
			t.Errorf("%s: %d requests for layers, want %d", row.name, len(requests), row.requests)
		}
		// What is in the store is taken, whoever put it there, if this repository
		// has it: a byte of each is read.
		var bytes atomic.Int64
		convert(t, c, m.Image("registry.example", "another", func(ctx context.Context, dgst digest.Digest, offset int64) (*LayerStream, error) {
			if dgst != digest.FromBytes(nothing) { // which is not kept
				bytes.Add(int64(len(blobs[dgst])) - offset)
			}
			return streamOf(blobs[dgst])(ctx, offset)
		}))
		if n := bytes.Load(); n != 2 {
			t.Errorf("%s: %d bytes read from another repository, want one of each of 2 layers", row.name, n)
		}
	}
}

func FuzzSchema1(f *testing.F) {
	payload := schema1Of(f, schema1Step{blob: []byte("base")}, schema1Step{json: map[string]any{"throwaway": true}})
	f.Add(payload)
	f.Add(signed(f, payload, signature(f, ecKey(f), payload)))
	f.Add([]byte(`{"schemaVersion":1,"signatures":[{"protected":"e30"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseSchema1(body, "")
		if err != nil {
			return
		}
		if len(m.Layers) == 0 {
			t.Error("no layers")
		}
		img := m.Image("registry.example", "test", nil)
		docs, err := readDocuments(img, 256)
		if err != nil {
			return
		}
		v := &conversion{Converter: &Converter{}, img: img, source: newSource(img.origin()), docs: docs}
		if _, err := v.config(make([]outcome, len(docs))); err != nil {
			t.Error(err)
		}
	})
}
