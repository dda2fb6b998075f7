package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// TestEndedTokenIsForgotten by a gateway, which runs for longer than any token
// counts, once for a request.
func TestEndedTokenIsForgotten(t *testing.T) {
	t.Parallel()
	for says, challenge := range map[string]string{"nothing": "", "invalid": `,error="invalid_token"`} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, nil)
			img := u.push(t, "app:1", 1)
			layers, err := img.Layers()
			must(t, err)
			layer, err := layers[0].Digest()
			must(t, err)
			// mu guards the rest: what was asked for, which tokens are accepted, and
			// that no new one is.
			var mu sync.Mutex
			asked, good, none := 0, map[string]bool{}, false
			u.answers(func(w http.ResponseWriter, r *http.Request) bool {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case r.URL.Path == "/token":
					asked++
					good[fmt.Sprintf("Bearer t%d", asked)] = !none
					_, _ = fmt.Fprintf(w, `{"token":"t%d","expires_in":3600}`, asked)
				case !good[r.Header.Get("Authorization")]:
					w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"%s`, u.host, challenge))
					w.WriteHeader(http.StatusUnauthorized)
				default:
					return false
				}
				return true
			})
			g := newGateway(t, nil, u)
			end := func(noMore bool) {
				mu.Lock()
				defer mu.Unlock()
				clear(good)
				none = noMore
			}
			for _, row := range []struct {
				method, object string
				// tokens are how many there are: tags are resolved, and content is
				// fetched, with tokens of their own.
				tokens int
			}{
				{http.MethodHead, "manifests/1", 1},
				{http.MethodGet, "manifests/1", 2},
				{http.MethodGet, "blobs/" + layer.String(), 1},
				{http.MethodHead, "blobs/" + layer.String(), 1},
			} {
				ask := func(what string, status, tokens int) {
					t.Helper()
					mu.Lock()
					before := asked
					mu.Unlock()
					got := g.do(t, row.method, "/v2/app/"+row.object+"?ns="+u.host)
					mu.Lock()
					defer mu.Unlock()
					if got.status != status || asked-before != tokens {
						t.Errorf("%s %s, %s: %d after asking for %d tokens, want %d after %d: %.300s",
							row.method, row.object, what, got.status, asked-before, status, tokens, got.body)
					}
				}
				end(false)
				ask("when none is accepted that it has", http.StatusOK, row.tokens)
				ask("again", http.StatusOK, 0)
				end(true)
				ask("when none is accepted", http.StatusForbidden, 1)
				end(false)
				ask("when new ones are", http.StatusOK, row.tokens)
			}
		})
	}
}
