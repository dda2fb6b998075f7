package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
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
