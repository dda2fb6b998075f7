package resolver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

// FuzzChallenge reads the challenges of targets of redirects: no token server is
// asked but one with a name, and none over plain HTTP for what was asked over
// https.
func FuzzChallenge(f *testing.F) {
	for _, header := range []string{
		`Bearer realm="https://auth.test/token",service="r",scope="repository:app:pull"`, `bearer realm=https://auth.test`, `Basic realm="x"`,
		`Bearer realm="https://auth.test", Bearer realm="http://other.test"`, `Basic realm="x", Bearer realm="//auth.test/\"q"`, `Bearer`, `Bearer realm=`,
		`Bearer realm="https://%zz"`, `Bearer realm="`, `Bearer realm="file:///etc/passwd"`, "Bearer realm=\"https://a.test\x00/\"", `Bearer ,,,=,realm`, `Bearer realm="https://r.test/token"`,
	} {
		f.Add(header)
	}
	hosts := &Hosts{Roots: certsd.Roots{f.TempDir()}}
	mayGrant := hosts.mayGrant(&certsd.Endpoint{Scheme: "https", Host: "r.test"})
	target := &url.URL{Scheme: "https", Host: "target.test"}
	f.Fuzz(func(t *testing.T, header string) {
		realm := bearerRealm(http.Header{"Www-Authenticate": {header}})
		if realm == nil {
			return
		}
		if realm.Host == "" || !strings.Contains(strings.ToLower(header), "bearer") {
			t.Errorf("%q: led to %q", header, realm)
		}
		if mayGrant(target, realm) && (realm.Scheme != "https" || realm.Host == "r.test") {
			t.Errorf("%q: %q may grant", header, realm)
		}
	})
}
