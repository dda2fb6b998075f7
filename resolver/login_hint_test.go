package resolver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// An error about a login says what to do, as all others do.
func TestErrorsAboutLoginsSayWhatToDo(t *testing.T) {
	t.Parallel()
	deny := func(challenge func(host string) string) func(r *mtlsRegistry) {
		return func(r *mtlsRegistry) {
			r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				if strings.HasPrefix(req.URL.Path, "/v2/") {
					w.Header().Set("WWW-Authenticate", challenge(r.Host))
				}
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
		}
	}
	basic := deny(func(string) string { return `Basic realm="x"` })
	bearer := deny(func(host string) string { return fmt.Sprintf(`Bearer realm="https://%s/token",service="x"`, host) })
	login := func(string) (string, string, error) { return "me", "wrong", nil }
	for name, tt := range map[string]struct {
		guard       func(r *mtlsRegistry)
		credentials func(string) (string, string, error)
	}{
		"Basic, and no login":          {basic, nil},
		"Basic, and a wrong login":     {basic, login},
		"a token server, and no login": {bearer, nil},
		"a token server that refuses":  {bearer, login},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			tt.guard(r)
			root := t.TempDir()
			r.Dir(t, root)
			_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root), Credentials: tt.credentials}).Resolve(t.Context(), r.Host+"/app:1")
			want := "\n  -> server " + r.Host + " requires a user and a password, or refused those it was sent: docker login " + r.Host +
				", or correct the pull secret or ctr --user; client certificates do not help here"
			if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Count(err.Error(), "\n  -> ") != 1 {
				t.Errorf("got %v\nwant ... %s", err, want)
			}
		})
	}
}
