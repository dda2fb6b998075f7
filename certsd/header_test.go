package certsd

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// redirects returns a request that followed redirects along some URLs.
func redirects(t *testing.T, urls ...string) *http.Request {
	t.Helper()
	var req *http.Request
	for _, u := range urls {
		next := newRequest(t.Context(), t, "GET", u, "")
		if req != nil {
			next.Response = &http.Response{Request: req}
		}
		req = next
	}
	return req
}

func TestChain(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		urls []string
		want chain
	}{
		"no redirect":               {[]string{"https://a/"}, chain{}},
		"the same origin":           {[]string{"https://a/", "https://A.:443/x"}, chain{redirected: true}},
		"another name":              {[]string{"https://a/", "https://b/"}, chain{redirected: true, crossed: true}},
		"a name below":              {[]string{"https://a/", "https://x.a/"}, chain{redirected: true, crossed: true}},
		"another port":              {[]string{"https://a/", "https://a:8443/"}, chain{redirected: true, crossed: true}},
		"there and back":            {[]string{"https://a/", "https://b/", "https://a/"}, chain{redirected: true, crossed: true}},
		"to plain HTTP":             {[]string{"https://a/", "http://a/"}, chain{redirected: true, crossed: true, downgraded: true}},
		"to plain HTTP in two hops": {[]string{"https://a/", "http://b/", "http://b/x"}, chain{redirected: true, crossed: true, downgraded: true}},
		"from plain HTTP":           {[]string{"http://a/", "https://a/"}, chain{redirected: true, crossed: true}},
		"IPv6 in another spelling":  {[]string{"https://[::1]:5000/", "https://[0:0::1]:5000/"}, chain{redirected: true}},
		"more than can be followed": {strings.Split(strings.Repeat("https://a/ ", maxHops+2)+"https://a/", " "), chain{redirected: true, crossed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := chainOf(redirects(t, row.urls...))
			got.first = nil
			if got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	home := &target{Endpoint: &Endpoint{Scheme: "https", Host: "home", Header: http.Header{"user-agent": {"configured"}, "X-Home": {"1", "2"}}}}
	own := &target{Endpoint: &Endpoint{Scheme: "https", Host: "own", Header: http.Header{"x-own": {"new"}}}}
	for name, row := range map[string]struct {
		route route
		want  http.Header
		host  string
	}{
		"at home nothing changes": {
			route{to: home, home: home},
			http.Header{"User-Agent": {"configured"}, "X-Home": {"2", "other"}, "X-Own": {"given"}, "Accept": {"x"}},
			"virtual",
		},
		"what nobody else adds is added": {
			route{to: &target{Endpoint: &Endpoint{Header: http.Header{"x-added": {"v"}, "x-own": {"v"}}}}, addHeader: true},
			http.Header{"User-Agent": {"configured"}, "X-Home": {"2", "other"}, "X-Own": {"given"}, "Accept": {"x"}, "X-Added": {"v"}},
			"virtual",
		},
		"elsewhere the values of home are taken out": {
			route{to: own, home: home, foreign: true, addHeader: true},
			http.Header{"X-Home": {"other"}, "X-Own": {"given"}, "Accept": {"x"}},
			"virtual",
		},
		"and those that a user scoped": {
			route{to: own, home: home, foreign: true, scoped: http.Header{"accept": {"x"}, "x-own": {" given "}}},
			http.Header{"X-Home": {"other"}},
			"virtual",
		},
		"after a redirect little is left": {
			route{to: own, home: home, foreign: true, chain: chain{crossed: true}},
			http.Header{"Accept": {"x"}},
			"",
		},
		"but what its own directory says": {
			route{to: own, home: home, foreign: true, addHeader: true, chain: chain{crossed: true}},
			http.Header{"Accept": {"x"}, "X-Own": {"new"}},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := newRequest(t.Context(), t, "GET", "https://h/", "")
			req.Host = "virtual"
			req.Header = http.Header{"User-Agent": {"configured"}, "X-Home": {"2", "other"}, "X-Own": {"given"}, "Accept": {"x"}}
			before := req.Header.Clone()
			header, host, err := row.route.header(req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if host != row.host {
				t.Errorf("host %q, want %q", host, row.host)
			}
			if diff := cmp.Diff(before, req.Header); diff != "" {
				t.Errorf("the request was changed:\n%s", diff)
			}
		})
	}
}

func TestBoundViewLeavesHeadersToItsUser(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	dir.write(t, s.host+"/hosts.toml", "server = \""+s.URL+"\"\n[header]\n  X-Configured = \"1\"\n")
	tr := dir.transport(t)
	get(t, view(t, tr, s.host, nil), s.URL+"/v2/")
	get(t, tr, s.URL+"/v2/")
	got := s.takeAll()
	if got[0].Header["X-Configured"] != nil || got[1].Header["X-Configured"] == nil {
		t.Errorf("got %v and %v", got[0].Header, got[1].Header)
	}
}

func TestEndpointServes(t *testing.T) {
	t.Parallel()
	ep := &Endpoint{Scheme: "https", Host: "Reg.example"}
	for text, want := range map[string]bool{
		"https://reg.example/":      true,
		"https://reg.example.:443/": true,
		"http://reg.example/":       true,
		"http://reg.example:443/":   true,
		"https://reg.example:80/":   false,
		"https://reg.example:8443/": false,
		"http://reg.example:8080/":  false,
		"https://x.reg.example/":    false,
	} {
		u := mustURL(t, text)
		if got := serves(ep, u.Scheme, u.Host); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// TestSchemesShareNoSettings: a hosts.toml may have http:// and https:// of one
// host, and each table is for its own.
func TestSchemesShareNoSettings(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	dir.write(t, "reg.example/hosts.toml", `
[host."http://m.example"]
  [host."http://m.example".header]
    X-Plain = "1"
[host."https://m.example"]
  skip_verify = true
[host."https://m.example:80"]
`)
	tr := dir.transport(t)
	host, err := tr.hosts().Lookup("reg.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, ep := range host.Endpoints {
		got, err := tr.ForEndpoint("reg.example", ep, nil).endpoint(t.Context())
		if err != nil || got.Endpoint != ep {
			t.Errorf("%s://%s has the settings of %s://%s, %v", ep.Scheme, ep.Host, got.Scheme, got.Host, err)
		}
		if got := pick(host.Endpoints, mustURL(t, ep.Scheme+"://"+ep.Host+"/v2/")); got != ep {
			t.Errorf("%s://%s is taken for %s://%s", ep.Scheme, ep.Host, got.Scheme, got.Host)
		}
	}
}
