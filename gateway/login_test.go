package gateway

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guard makes an upstream want one of some logins, and returns what was sent to
// it since it was last called.
func guard(u *upstream, logins ...string) (sent func() []string) {
	var mu sync.Mutex
	var seen []string
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		authorization := r.Header.Get("Authorization")
		mu.Lock()
		seen = append(seen, authorization)
		mu.Unlock()
		if slices.Contains(logins, authorization) {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		sent := seen
		seen = nil
		return sent
	}
}

func passing(o *options) { o.PassCredentials = true }

func TestLoginIsForTheClientThatSendsIt(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "app:1", 1)
	jo := basic("jo", "not-for-anybody-else")
	sent := guard(u, jo)
	g := newGateway(t, passing, u)
	path := "/v2/app/manifests/1?ns=" + u.host

	asked := g.do(t, http.MethodGet, path)
	if challenge := asked.header.Get("WWW-Authenticate"); asked.status != 401 || challenge != `Basic realm="`+u.host+`", charset="UTF-8"` {
		t.Errorf("without a login: %d, %q", asked.status, challenge)
	}
	if asked = g.do(t, http.MethodHead, path); asked.status != 401 {
		t.Errorf("HEAD without a login: %d", asked.status)
	}
	if got := g.do(t, http.MethodGet, path, "Authorization", jo); got.status != 200 {
		t.Errorf("with its login: %d %s", got.status, got.body)
	}
	if got := g.do(t, http.MethodGet, path); got.status != 401 {
		t.Errorf("without a login, after somebody else's: %d", got.status)
	}
	sent()
	got := g.do(t, http.MethodGet, path, "Authorization", basic("jo", "wrong-password"))
	if got.status != 403 || strings.Contains(string(got.body), "wrong-password") {
		t.Errorf("with a wrong password: %d %s", got.status, got.body)
	}
	if again := g.do(t, http.MethodHead, path, "Authorization", basic("jo", "wrong-password")); again.status != 403 {
		t.Errorf("with the same wrong password: %d", again.status)
	}
	if diff := cmp.Diff([]string{"", basic("jo", "wrong-password")}, sent()); diff != "" {
		t.Errorf("a wrong password is tried (-want +got):\n%s", diff)
	}
}

// TestSecretIsNoLogin holds that what lets a client in never goes on to a
// registry, and that who is let in by Authorization has nothing to pass on.
func TestSecretIsNoLogin(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	sent := guard(u, basic("jo", "pw"))
	g := newGateway(t, passing, u)
	path := "/v2/app/manifests/1?ns=" + u.host
	for name, header := range map[string][]string{
		"the secret by Authorization alone": {tokenHeader, "", "Authorization", basic(basicUser, g.secret)},
		"the secret in both":                {"Authorization", basic(basicUser, g.secret)},
		"the secret for another user":       {"Authorization", basic("jo", g.secret)},
		"a login with a wrong secret":       {tokenHeader, "x", "Authorization", basic("jo", "pw")},
		"a token":                           {"Authorization", "Bearer x"},
	} {
		got := g.do(t, http.MethodGet, path, header...)
		for _, authorization := range sent() {
			if authorization != "" {
				t.Errorf("%s: the registry was sent %q", name, authorization)
			}
		}
		if got.status == 200 {
			t.Errorf("%s: let in", name)
		}
	}
}

func TestLoginsAreForOtherGatewaysToIgnore(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	sent := guard(u)
	g := newGateway(t, nil, u)
	got := g.do(t, http.MethodGet, "/v2/app/manifests/1?ns="+u.host, "Authorization", basic("jo", "pw"))
	if got.status != 403 {
		t.Errorf("without pass_credentials: %d %s", got.status, got.body)
	}
	if diff := cmp.Diff([]string{""}, sent()); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

// TestLoginsShareNothing holds that neither a download nor a conversion made
// with one login is given to another.
func TestLoginsShareNothing(t *testing.T) {
	t.Parallel()
	u, a := newUpstream(t, nil), newArchive(t)
	img := u.push(t, "app:1", 1)
	layer, _ := layerOf(t, img)
	a.add("old/app", "1")
	g := newGateway(t, passing, u, a)
	jo, mo := basic("jo", "1"), basic("mo", "2")

	guard(u, jo, mo)
	blob := "/v2/app/blobs/" + layer + "?ns=" + u.host
	u.seen()
	for _, login := range []string{jo, mo} {
		if got := g.do(t, http.MethodGet, blob, "Authorization", login); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	var downloads []string
	for _, r := range u.seen() {
		if r.Method == http.MethodGet && r.Header.Get("Authorization") != "" {
			downloads = append(downloads, r.Header.Get("Authorization"))
		}
	}
	if diff := cmp.Diff([]string{jo, mo}, downloads); diff != "" {
		t.Errorf("downloads (-want +got):\n%s", diff)
	}
	one, other := target{login: &login{id: "1"}}, target{login: &login{id: "2"}}
	if one.key() == other.key() || one.repositoryKey() == other.repositoryKey() {
		t.Error("two logins share a key")
	}

	manifest := "/v2/old/app/manifests/1?ns=" + a.Host
	for _, step := range []struct {
		login string
		want  int // layers asked for so far
	}{{jo, 3}, {jo, 3}, {mo, 6}, {"", 9}, {mo, 9}} {
		if got := g.do(t, http.MethodGet, manifest, "Authorization", step.login); got.status != 200 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if layers := a.layers(); layers != step.want {
			t.Errorf("after %q %d layers were asked for, want %d", step.login, layers, step.want)
		}
	}
}

// TestLoginIsForgotten holds that user and password are not kept for longer than
// a token may last.
func TestLoginIsForgotten(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	g := newGateway(t, passing, u)
	with := &target{kind: kindTags, host: u.host, repository: "app", login: &login{host: u.host, user: "jo", password: "pw", id: "1"}}
	c := g.handler.upstreams.resolverFor(with)
	g.handler.upstreams.forget(with.repositoryKey(), &cachedResolver{})
	if g.handler.upstreams.resolverFor(with) != c {
		t.Error("another resolver was forgotten")
	}
	g.handler.upstreams.forget(with.repositoryKey(), c)
	if g.handler.upstreams.resolverFor(with) == c {
		t.Error("the resolver is still there")
	}
	if user, _, _ := with.login.credentials("other.example"); user != "" {
		t.Errorf("another host is told %q", user)
	}
}
