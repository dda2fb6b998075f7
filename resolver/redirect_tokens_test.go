package resolver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestTokenOfTheTargetOfARedirect: a registry that is another one in whole is
// pulled from, and a token goes to the target that gave it alone.
func TestTokenOfTheTargetOfARedirect(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		// realm is where the target says tokens are, by the hosts of target and
		// registry.
		realm func(target, registry string) string
		// moved is where the target's own token server redirects to.
		moved bool
		want  bool
	}{
		"its own":                       {realm: func(target, _ string) string { return target }, want: true},
		"the registry's":                {realm: func(_, registry string) string { return registry }},
		"its own that leads to another": {realm: func(target, _ string) string { return target }, moved: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, r := newRegistry(t, nil), newRegistry(t, nil)
			img := target.Push(t, "app:1", 1)
			r.Guard(func(w http.ResponseWriter, req *http.Request, client string) bool {
				if req.URL.Path == "/token" {
					_, _ = fmt.Fprintf(w, `{"token":"of-%s"}`, client)
					return true
				}
				http.Redirect(w, req, "https://"+target.Host+req.URL.Path, http.StatusTemporaryRedirect)
				return true
			})
			target.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
				switch {
				case req.URL.Path == "/token" && row.moved:
					http.Redirect(w, req, "https://"+r.Host+"/token", http.StatusFound)
				case req.URL.Path == "/token":
					_, _ = io.WriteString(w, `{"token":"anonymous"}`)
				case req.Header.Get("Authorization") != "Bearer anonymous":
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="s"`, row.realm(target.Host, r.Host)))
					w.WriteHeader(http.StatusUnauthorized)
				default:
					return false
				}
				return true
			})
			root := t.TempDir()
			privateDir(t, root, r, target)
			res := resolver.New(private(newHosts(t, root)))
			ref, _, err := res.Resolve(t.Context(), r.Host+"/app:1")
			if (err == nil) != row.want {
				t.Fatalf("got %v", err)
			}
			if row.want {
				fetchConfig(t, res, ref, img)
				resp, err := res.Open(t.Context(), r.Host+"/app", http.MethodGet, nil, "manifests", "1")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
			calls := target.Calls()
			checkNothingPrivate(t, calls)
			for _, c := range calls {
				if a := c.Header.Get("Authorization"); a != "" && a != "Bearer anonymous" {
					t.Errorf("%s was sent %s", c.Path, a)
				}
			}
			for _, c := range r.Calls() {
				if strings.Contains(c.Header.Get("Authorization"), "anonymous") || c.Path == "/token" {
					t.Errorf("the registry was asked for %s with %s", c.Path, c.Header.Get("Authorization"))
				}
			}
		})
	}
}
