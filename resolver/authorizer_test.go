package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// withTokens lets a registry serve to whom a token server gives a token, and
// returns a resolver for it.
func withTokens(t *testing.T, answer http.HandlerFunc, o resolver.Options) (r, tokens *mtlsRegistry, res *resolver.Resolver) {
	t.Helper()
	tokens = newRegistry(t, answer)
	r = newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if req.Header.Get("Authorization") == "Bearer good" {
			return false
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root)
	tokens.Dir(t, root)
	o.Hosts = newHosts(t, root)
	return r, tokens, resolver.New(o)
}

func giveToken(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"token":"good","access_token":"good"}`)
}

// ways are those in which a resolver makes requests: its own and containerd's.
var ways = map[string]func(ctx context.Context, res *resolver.Resolver, host string) error{
	"open": func(ctx context.Context, res *resolver.Resolver, host string) error {
		resp, err := res.Open(ctx, host+"/app", http.MethodGet, nil, "manifests", "1")
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	},
	"resolve": func(ctx context.Context, res *resolver.Resolver, host string) error {
		_, _, err := res.Resolve(ctx, host+"/app:1")
		return err
	},
}

// TestRefusedTokenIsAskedForAgain by the same resolver, with the password of
// that time.
func TestRefusedTokenIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// mu guards the rest.
			var mu sync.Mutex
			status, password := http.StatusServiceUnavailable, "wrong"
			set := func(s int, p string) {
				mu.Lock()
				defer mu.Unlock()
				status, password = s, p
			}
			answer := func(w http.ResponseWriter, req *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				body, _ := io.ReadAll(req.Body)
				form, _ := url.ParseQuery(string(body))
				_, basic, _ := req.BasicAuth()
				switch {
				case status != http.StatusOK:
					w.WriteHeader(status)
				case form.Get("password") != "right" && basic != "right":
					w.WriteHeader(http.StatusUnauthorized)
				default:
					giveToken(w)
				}
			}
			r, tokens, res := withTokens(t, answer, resolver.Options{Credentials: func(string) (string, string, error) {
				mu.Lock()
				defer mu.Unlock()
				return "jo", password, nil
			}})
			for _, tt := range []struct {
				status   int
				password string
				want     string
			}{
				{http.StatusServiceUnavailable, "right", "503"},
				{http.StatusServiceUnavailable, "right", "503"},
				{http.StatusOK, "wrong", "401"},
				{http.StatusOK, "wrong", "401"},
			} {
				set(tt.status, tt.password)
				err := ask(t.Context(), res, r.Host)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%d, %s: %v", tt.status, tt.password, err)
				}
				// A later request is told as much as the first.
				var explained *resolver.Error
				if !errors.As(err, &explained) || !strings.Contains(err.Error(), "\n"+tokens.Host+" (") {
					t.Errorf("the trail is lost: %v", err)
				}
				if n := len(tokens.Calls()); n == 0 {
					t.Errorf("%d, %s: no token was asked for", tt.status, tt.password)
				}
			}
			set(http.StatusOK, "right")
			for range 2 {
				if err := ask(t.Context(), res, r.Host); err != nil {
					t.Error(err)
				}
			}
			if n := len(tokens.Calls()); n != 1 {
				t.Errorf("a good token was asked for %d times", n)
			}
		})
	}
}

// together lets the answers of the first requests through when all are there,
// and remembers how to end the request that then asks for a token.
type together struct {
	next     http.RoundTripper
	requests *atomic.Int32
	all      *sync.WaitGroup
	end      chan context.CancelFunc
}

type cancelKey struct{}

// RoundTrip implements http.RoundTripper.
func (a *together) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Path == "/token" {
		if cancel, ok := req.Context().Value(cancelKey{}).(context.CancelFunc); ok {
			select {
			case a.end <- cancel:
			default:
			}
		}
		return a.next.RoundTrip(req)
	}
	resp, err := a.next.RoundTrip(req)
	if a.requests.Add(-1) >= 0 {
		a.all.Done()
		a.all.Wait()
	}
	return resp, err
}

// TestTokenOfAnAbortedRequest is fetched by another of those that wait for it.
func TestTokenOfAnAbortedRequest(t *testing.T) {
	t.Parallel()
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const requests = 8
			tr := &together{requests: new(atomic.Int32), all: new(sync.WaitGroup), end: make(chan context.CancelFunc, 1)}
			tr.requests.Store(requests)
			tr.all.Add(requests)
			o := resolver.Options{UpdateClient: func(c *http.Client) error {
				tr.next, c.Transport = c.Transport, tr
				return nil
			}}
			var first sync.Once
			r, _, res := withTokens(t, func(w http.ResponseWriter, req *http.Request) {
				first.Do(func() {
					(<-tr.end)()
					<-req.Context().Done()
				})
				giveToken(w)
			}, o)
			var aborted atomic.Int32
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					err := ask(context.WithValue(ctx, cancelKey{}, cancel), res, r.Host)
					switch {
					case errors.Is(err, context.Canceled) && ctx.Err() != nil:
						aborted.Add(1)
					case err != nil:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := aborted.Load(); n != 1 {
				t.Errorf("%d were aborted", n)
			}
			if err := ask(t.Context(), res, r.Host); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}
