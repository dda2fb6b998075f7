package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestRegistrysAnswers are what becomes of what a registry says, for a manifest
// and for a blob.
func TestRegistrysAnswers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.everybody = true
	g := newGateway(t, nil, u)
	for _, tt := range []struct {
		upstream       int
		status         int
		code, blobCode string
		retryAfter     string
	}{
		{http.StatusUnauthorized, http.StatusForbidden, codeDenied, codeDenied, ""},
		{http.StatusForbidden, http.StatusForbidden, codeDenied, codeDenied, ""},
		{http.StatusNotFound, http.StatusNotFound, codeManifestUnknown, codeBlobUnknown, ""},
		{http.StatusTooManyRequests, http.StatusServiceUnavailable, codeTooMany, codeTooMany, "30"},
		{http.StatusInternalServerError, http.StatusBadGateway, codeUnavailable, codeUnavailable, ""},
		{http.StatusBadGateway, http.StatusBadGateway, codeUnavailable, codeUnavailable, ""},
	} {
		u.answers(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(tt.upstream)
			return true
		})
		for path, code := range map[string]string{"/v2/app/manifests/1": tt.code, "/v2/app/blobs/" + someDigest: tt.blobCode} {
			a := g.do(t, http.MethodGet, path+"?ns="+u.host)
			var body struct {
				Errors []struct{ Code, Message string }
			}
			if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) != 1 {
				t.Errorf("%d: %v in %s", tt.upstream, err, a.body)
				continue
			}
			if a.status != tt.status || body.Errors[0].Code != code || a.header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("%d for %s: %d %v %s", tt.upstream, path, a.status, a.header, a.body)
			}
			// The cause: host, directory and certificate.
			for _, want := range []string{u.host, ".cert (CN="} {
				if !strings.Contains(body.Errors[0].Message, want) {
					t.Errorf("%d for %s: no %s in %s", tt.upstream, path, want, body.Errors[0].Message)
				}
			}
			if a.header.Get("WWW-Authenticate") != "" {
				t.Errorf("%d: the gateway asks for credentials", tt.upstream)
			}
		}
	}
}

func TestBrokenDirectoryFailsClosed(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	g := newGateway(t, nil, u, brokenDir{u})
	a := g.do(t, http.MethodGet, "/v2/app/manifests/1?ns="+u.host)
	if a.status != http.StatusInternalServerError || !strings.Contains(string(a.body), "hosts.toml:1") || !strings.Contains(string(a.body), `did you mean \"server\"?`) {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if n := len(u.seen()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestOnlyTheRegistrys404Is404: a client takes it for "not here" and asks somebody
// else, which is no answer to damage, to the storage behind a registry or to what
// this gateway refuses.
func TestOnlyTheRegistrys404Is404(t *testing.T) {
	t.Parallel()
	layer := smallLayer("app")
	elsewhere := newUpstream(t, http.NotFoundHandler())
	elsewhere.everybody = true
	for name, tt := range map[string]struct {
		change func(*options)
		answer func(w http.ResponseWriter, r *http.Request) bool
		path   string
		status int
		says   string
	}{
		"a layer longer than announced": {
			answer: onBlobs(func(w http.ResponseWriter, r *http.Request) {
				body := layer
				if r.Method == http.MethodGet {
					body = append(bytes.Clone(layer), "padding"...)
				}
				http.ServeContent(w, r, "", zeroTime, bytes.NewReader(body))
			}),
			status: http.StatusBadGateway, says: codeUnavailable,
		},
		"a layer shorter than announced": {
			answer: onBlobs(func(w http.ResponseWriter, r *http.Request) {
				body := layer
				if r.Method == http.MethodGet {
					body = layer[:len(layer)-3]
				}
				http.ServeContent(w, r, "", zeroTime, bytes.NewReader(body))
			}),
			status: http.StatusBadGateway, says: codeUnavailable,
		},
		"a layer of other content": {
			answer: onBlobs(func(w http.ResponseWriter, r *http.Request) {
				http.ServeContent(w, r, "", zeroTime, bytes.NewReader(smallLayer("apq")))
			}),
			status: http.StatusBadGateway, says: codeUnavailable,
		},
		"a manifest that is too large": {
			answer: func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Docker-Content-Digest", someDigest)
				w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
				w.Header().Set("Content-Length", "5000000")
				return true
			},
			status: http.StatusBadGateway, says: codeUnavailable,
		},
		"schema 1 that is not converted": {
			change: func(o *options) { o.Store = nil },
			status: http.StatusNotImplemented, says: codeUnsupported,
		},
		"a storage that has lost a blob": {
			answer: onBlobs(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+elsewhere.host+"/docker/registry/v2/blobs/sha256/00/00/data", http.StatusTemporaryRedirect)
			}),
			path:   "/v2/app/blobs/" + someDigest,
			status: http.StatusBadGateway, says: codeUnavailable,
		},
		"a blob of nothing": {
			answer: onBlobs(func(http.ResponseWriter, *http.Request) {}),
			path:   "/v2/app/blobs/" + digest.FromString("something").String(),
			status: http.StatusBadGateway, says: codeUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, newOldImages(map[string][]byte{"app": layer}))
			u.answers(tt.answer)
			g := newGateway(t, tt.change, u, elsewhere)
			got := g.do(t, http.MethodGet, cmp.Or(tt.path, "/v2/app/manifests/1")+"?ns="+u.host)
			if got.status != tt.status || !strings.Contains(string(got.body), tt.says) {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
}

// onBlobs answers for blobs alone.
func onBlobs(f http.HandlerFunc) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		f(w, r)
		return true
	}
}

// TestHeadWithoutALength: many servers say 0 to a HEAD of what is not empty, and a
// client that is told so asks no further.
func TestHeadWithoutALength(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "app:1", 1)
	d, _ := layerOf(t, img)
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/blobs/") {
			w.Header().Set("Content-Length", "0")
			return true
		}
		return false
	})
	g := newGateway(t, nil, u)
	if got := g.do(t, http.MethodHead, "/v2/app/blobs/"+d+"?ns="+u.host); got.status != http.StatusOK || got.header.Get("Content-Length") != "" {
		t.Errorf("%d, a length of %q", got.status, got.header.Get("Content-Length"))
	}
	empty := digest.FromBytes(nil).String()
	if got := g.do(t, http.MethodHead, "/v2/app/blobs/"+empty+"?ns="+u.host); got.status != http.StatusOK || got.header.Get("Content-Length") != "0" {
		t.Errorf("nothing: %d, a length of %q", got.status, got.header.Get("Content-Length"))
	}
}
