package resolver_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// ending is a token server, and the guard of a registry whose tokens end before
// the time they were given for.
type ending struct {
	// challenge is what a refusal says beside where the tokens are.
	challenge string

	// mu guards the rest.
	mu sync.Mutex
	// asked counts the requests for a token, password is what they need, if any.
	asked    int
	password string
	// good are the tokens that are accepted, none that no new one is.
	good map[string]bool
	none bool
	// down reports whether there is no token for anybody.
	down bool
	// hold, if set, keeps refusals back until so many are due.
	hold *sync.WaitGroup
}

// end lets no token count any longer that was given so far.
func (e *ending) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.good)
}

func (e *ending) give(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, basic, _ := r.BasicAuth()
	scopes := append(strings.Split(r.URL.Query().Get("scope"), " "), r.URL.Query()["scope"]...)
	if form, err := url.ParseQuery(string(body)); err == nil {
		scopes = append(scopes, strings.Split(form.Get("scope"), " ")...)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if e.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if e.password != "" && basic != e.password && !strings.Contains(string(body), "password="+e.password) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	token := fmt.Sprintf("Bearer %d", e.asked)
	for _, scope := range scopes {
		e.good[token+scope] = !e.none
	}
	_, _ = fmt.Fprintf(w, `{"token":"%[1]d","access_token":"%[1]d","expires_in":3600}`, e.asked)
}

// guard refuses what has no good token of the token server at host.
func (e *ending) guard(host string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.URL.Path == "/token" {
			e.give(w, r)
			return true
		}
		repository, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
		scope := "repository:" + repository + ":pull"
		authorization := r.Header.Get("Authorization")
		e.mu.Lock()
		good := e.good[authorization+scope]
		hold := e.hold
		e.mu.Unlock()
		if good {
			return false
		}
		if hold != nil {
			hold.Done()
			hold.Wait()
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r",scope="%s"%s`, host, scope, e.challenge))
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// TestEndedTokenIsForgotten after a 401, once: whether the answer says why or not,
// by containerd's requests and by the resolver's own, and by the target of a
// redirect as by the registry.
func TestEndedTokenIsForgotten(t *testing.T) {
	t.Parallel()
	asks := maps.Clone(ways)
	asks["fetch"] = func(ctx context.Context, res *resolver.Resolver, host string) error {
		ref, desc, err := res.Resolve(ctx, host+"/app:1")
		if err != nil {
			return err
		}
		f, err := res.Fetcher(ctx, ref)
		if err != nil {
			return err
		}
		rc, err := f.Fetch(ctx, desc)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, rc)
		rc.Close()
		return err
	}
	for name, ask := range asks {
		for says, challenge := range map[string]string{
			"nothing": "", "invalid": `,error="invalid_token"`, "scope": `,error="insufficient_scope"`,
		} {
			for _, who := range []string{"registry", "with a password", "target of a redirect"} {
				t.Run(name+", "+says+", "+who, func(t *testing.T) {
					t.Parallel()
					checkEnded(t, ask, challenge, who)
				})
			}
		}
	}
}

func checkEnded(t *testing.T, ask func(context.Context, *resolver.Resolver, string) error, challenge, who string) {
	t.Helper()
	e := &ending{challenge: challenge, good: map[string]bool{}}
	r := newRegistry(t, nil)
	for _, repository := range []string{"app:1", "other:1"} {
		r.Push(t, repository, 1)
	}
	r.Guard(e.guard(r.Host))
	host, root := r.Host, t.TempDir()
	r.Dir(t, root)
	o := resolver.Options{Hosts: newHosts(t, root)}
	switch who {
	case "with a password":
		e.password = "first"
		o.Credentials = func(string) (string, string, error) {
			e.mu.Lock()
			defer e.mu.Unlock()
			return "jo", e.password, nil
		}
	case "target of a redirect":
		front := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "https://"+r.Host+req.URL.Path, http.StatusTemporaryRedirect)
		}))
		front.Dir(t, root)
		host = front.Host
	}
	res := resolver.New(o)
	other := func(ctx context.Context, res *resolver.Resolver, host string) error {
		_, _, err := res.Resolve(ctx, host+"/other:1")
		return err
	}
	after := func(what string, ask func(context.Context, *resolver.Resolver, string) error, tokens int, fails bool) {
		t.Helper()
		e.mu.Lock()
		before := e.asked
		e.mu.Unlock()
		err := ask(t.Context(), res, host)
		if (err != nil) != fails || err != nil && !strings.Contains(err.Error(), "401") && !strings.Contains(err.Error(), "503") {
			t.Errorf("%s: %v", what, err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if n := e.asked - before; n != tokens {
			t.Errorf("%s: %d tokens were asked for, want %d", what, n, tokens)
		}
	}
	set := func(change func()) {
		e.mu.Lock()
		defer e.mu.Unlock()
		change()
	}
	set(func() { e.down = true })
	after("while there are no tokens", ask, 1, true)
	set(func() { e.down = false })
	after("at first", ask, 1, false)
	after("again", ask, 0, false)
	after("for another repository", other, 1, false)
	after("again, after another", ask, 0, false)
	e.end()
	if who == "with a password" {
		set(func() { e.password = "second" })
	}
	after("when it is no longer accepted", ask, 1, false)
	after("again, with the new one", ask, 0, false)
	after("for the other repository", other, 1, false)

	e.end()
	const together = 6
	set(func() {
		e.hold = new(sync.WaitGroup)
		e.hold.Add(together)
	})
	after("when several are refused at a time", func(ctx context.Context, res *resolver.Resolver, host string) error {
		var all sync.WaitGroup
		errs := make([]error, together)
		for i := range errs {
			all.Go(func() { errs[i] = ask(ctx, res, host) })
		}
		all.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	}, 1, false)
	set(func() { e.hold, e.none = nil, true })
	e.end()
	after("when none is accepted", ask, 1, true)
	after("again, when none is accepted", ask, 1, true)
	set(func() { e.none = false })
	after("when new ones are accepted", ask, 1, false)
}
