package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/stranger"
)

func TestRegistryLeadsNowhereOnThisMachine(t *testing.T) {
	t.Parallel()
	host, seen := silent(t)
	port := host[strings.LastIndexByte(host, ':'):]
	u := newUpstream(t, nil)
	g := newGateway(t, func(o *options) { o.Hosts.RefuseStranger = stranger.Refuse }, u)
	for _, target := range []string{host, "localhost" + port} {
		u.answers(func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://"+target+r.URL.Path, http.StatusTemporaryRedirect)
			return true
		})
		for _, path := range []string{"/blobs/" + someDigest, "/manifests/1", "/tags/list"} {
			a := g.do(t, http.MethodGet, "/v2/app"+path+"?ns="+u.host)
			if a.status != http.StatusBadGateway || !strings.Contains(string(a.body), "a registry leads to "+target+", which is ") {
				t.Errorf("%s at %s: %d %s", path, target, a.status, a.body)
			}
		}
		u.answers(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+target+`/token",service="s"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		})
		if a := g.do(t, http.MethodGet, "/v2/other/manifests/1?ns="+u.host); a.status < 400 {
			t.Errorf("token server at %s: %d %s", target, a.status, a.body)
		}
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}
