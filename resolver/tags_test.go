package resolver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// tagPages serves lists of the repository team/app; each leads to the next by
// a Link of the given form, where %s is the query.
func tagPages(link string, pages ...[]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/team/app/tags/list" {
			http.NotFound(w, r)
			return
		}
		page, _ := strconv.Atoi(r.URL.Query().Get("page"))
		if page+1 < len(pages) {
			w.Header().Add("Link", `<https://docs.test>; rel="help"`)
			w.Header().Add("Link", fmt.Sprintf(link, "page="+strconv.Itoa(page+1)))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "team/app", "tags": pages[page]})
	})
}

func TestTagsAreReadPageByPage(t *testing.T) {
	t.Parallel()
	pages := [][]string{{"2", "latest"}, nil, {"10", "../secret", "2", "", strings.Repeat("x", 129)}, {"1"}}
	for name, link := range map[string]string{
		"as the specification has it":     `</v2/team/app/tags/list?%s>; rel="next"`,
		"with another host, left alone":   `<http://internal.test:5000/elsewhere?%s>; rel=next`,
		"relative, among others":          `</first>; rel="first", <?%s>;title="more"; rel="next", </last>; rel="last"`,
		"with the parameters in capitals": `<list?%s>; REL="NEXT"`,
		"with several relation types":     `<list?%s>; rel="prev next"`,
		"with none":                       `<?%s>`,
		"a URL and nothing else":          `/v2/team/app/tags/list?%s`,
		"below another prefix":            `</registry/v2/team/app/tags/list?%s>; rel=next`,
		"with semicolons":                 `<?%s;n=1>; rel=next`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, tagPages(link, pages...))
			r.Only("bravo", http.StatusForbidden)
			root := t.TempDir()
			r.Dir(t, root, "alpha", "bravo")
			hosts := newHosts(t, root)
			var warnings []string
			hosts.Hooks.OnWarning = func(_ string, problem error) { warnings = append(warnings, problem.Error()) }
			got, err := resolver.New(resolver.Options{Hosts: hosts}).Tags(t.Context(), r.Host+"/team/app")
			if diff := cmp.Diff([]string{"1", "10", "2", "latest"}, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			want := []string{
				r.Host + `/team/app: its list of tags has "", which is not a tag`,
				r.Host + `/team/app: its list of tags has "../secret", which is not a tag`,
				r.Host + `/team/app: its list of tags has "` + strings.Repeat("x", 129) + `", which is not a tag`,
			}
			if diff := cmp.Diff(want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestListsOfTagsThatAreNone(t *testing.T) {
	t.Parallel()
	many := func(n int) []string {
		tags := make([]string, n)
		for i := range tags {
			tags[i] = strconv.Itoa(i)
		}
		return tags
	}
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	for name, row := range map[string]struct {
		images http.Handler
		want   string
		class  func(error) bool
	}{
		"no list":             {v2(tagPages("", []string{"1"})), "/other: HOST answers 404 Not Found for the list of tags: not found", errdefs.IsNotFound},
		"forbidden":           {status(403), "/other: HOST answers 403 Forbidden for the list of tags: permission denied", errdefs.IsPermissionDenied},
		"without a user":      {status(401), "/other: HOST answers 401 Unauthorized for the list of tags: unauthorized", errdefs.IsUnauthorized},
		"not allowed":         {status(405), "/other: HOST answers 405 Method Not Allowed for the list of tags: unknown", errdefs.IsUnknown},
		"a page":              {serve(200, "<html>", nil), "/other: the answer of HOST is not a list of tags: it is not valid JSON from byte 1 on", nil},
		"no end":              {serve(200, `{"tags":["1"]}`, func(r *http.Request) string { return "?n=" + r.URL.Query().Get("n") + "1" }), "/other: HOST lists tags on more than 2000 pages", nil},
		"a circle":            {serve(200, `{"tags":["1"]}`, func(*http.Request) string { return "?n=1" }), "/other: HOST lists the same tags again and again", nil},
		"a circle of one":     {serve(200, `{"tags":["1"]}`, func(*http.Request) string { return "list" }), "/other: HOST lists the same tags again and again", nil},
		"a link that is none": {serve(200, `{"tags":["1"]}`, func(*http.Request) string { return "http://%zz/?n=1" }), "/other: HOST does not say where its list of tags continues: the link to the next part is not a URL", nil},
		"a query that is none": {
			serve(200, `{"tags":["1"]}`, func(*http.Request) string { return "?n=%zz" }), "/other: HOST does not say where its list of tags continues: the link to the next part has an invalid query", nil,
		},
		"a header that is none":    {serve(200, `{"tags":["1"]}`, func(*http.Request) string { return "<" }), `/other: HOST does not say where its list of tags continues: the header Link: "<<>; rel=next": it does not have the form of RFC 8288`, nil},
		"another list's next":      {serve(200, `{"tags":["1"]}`, func(*http.Request) string { return `/other/list>; anchor="/x"; rel="next", <a>; rel="x` }), `/other: HOST does not say where its list of tags continues: the header Link: "</other/list>; anchor=\"/x\"; rel=\"next\", <a>; rel=\"x>; rel=next": it does not have the form of RFC 8288`, nil},
		"too much in all":          {serve(200, `{"tags":["1"]`+strings.Repeat(" ", 12<<20)+"}", func(r *http.Request) string { return "?n=" + r.URL.Query().Get("n") + "1" }), "/other: HOST lists tags in more than 52400000 bytes", nil},
		"tags of Registry v1":      {serve(200, `{"name":"other","tags":{"1":"id"}}`, nil), "/other: the answer of HOST is not a list of tags: its tags is an object where a list belongs", nil},
		"another list":             {serve(200, `["1"]`, nil), "/other: the answer of HOST is not a list of tags: it is JSON, but a list where an object belongs", nil},
		"an object without tags":   {serve(200, `{}`, nil), "/other: the answer of HOST is not a list of tags: it has neither a name nor tags", nil},
		"an error with status 200": {serve(200, `{"name":"other","errors":[]}`, nil), "/other: the answer of HOST is not a list of tags: it has neither a name nor tags", nil},
		"a page that is not there": {v2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/other/tags/list" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Link", "<page/2>; rel=next")
			_, _ = w.Write([]byte(`{"tags":["1"]}`))
		})), "/other: HOST answers 404 Not Found for more of the list of tags", nil},
		"too many":  {serveJSON(map[string]any{"tags": many(100_001)}), "/other: HOST lists more than 100000 tags", nil},
		"too large": {serveJSON(map[string]any{"tags": []string{strings.Repeat("x", 14<<20)}}), "/other: https://HOST/v2/other/tags/list answers with more than 13100000 bytes", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, row.images)
			root := t.TempDir()
			r.Dir(t, root, "alpha")
			tags, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Tags(t.Context(), r.Host+"/other")
			if err == nil {
				t.Fatalf("got %.10q", tags)
			}
			first, _, _ := strings.Cut(strings.ReplaceAll(err.Error(), r.Host, "HOST"), "\n")
			if diff := cmp.Diff("HOST"+row.want, first); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if row.class != nil && !row.class(err) {
				t.Errorf("the class of %v is another", err)
			}
		})
	}
}

// serve answers each request the same, with a link to a next page.
func serve(status int, body string, next func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if next != nil {
			w.Header().Set("Link", "<"+next(r)+">; rel=next")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

// v2 answers the base as a v2 registry does.
func v2(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			next.ServeHTTP(w, r)
		}
	})
}

func serveJSON(v any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
}

func TestTagsAreThoseOfARepository(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"reg.test/app:1", "reg.test/app@sha256:" + strings.Repeat("0", 64), "reg.test"} {
		if _, err := resolver.New(resolver.Options{Hosts: newHosts(t, t.TempDir())}).Tags(t.Context(), ref); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

// TestTagsOfAMirror: one that has the list is believed, one that has none or is
// broken is not.
func TestTagsOfAMirror(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		mirror http.Handler
		want   []string
	}{
		"has the list":   {tagPages("", []string{"of-the-mirror"}), []string{"of-the-mirror"}},
		"does not":       {http.NotFoundHandler(), []string{"of-the-registry"}},
		"is out of work": {serve(http.StatusBadGateway, "", nil), []string{"of-the-registry"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mirror, r := newRegistry(t, row.mirror), newRegistry(t, tagPages("", []string{"of-the-registry"}))
			root := t.TempDir()
			mirror.Dir(t, root, "alpha")
			write(t, filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml"),
				fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+r.Host, "https://"+mirror.Host))
			got, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Tags(t.Context(), r.Host+"/team/app")
			if diff := cmp.Diff(row.want, got); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			for _, c := range mirror.Calls() {
				if c.Query.Get("ns") != r.Host {
					t.Errorf("the mirror was asked for the registry %q", c.Query.Get("ns"))
				}
			}
		})
	}
}

func TestTagsOfRegistryV1(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil)
	a.Add("library/app", "2", v1test.Layer{Data: v1test.Tar(map[string]string{"c": "3"})})
	root := t.TempDir()
	a.dir(t, root)
	hosts := newHosts(t, root)
	got, err := resolver.New(resolver.Options{Hosts: hosts}).Tags(t.Context(), a.Host+"/app")
	if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := resolver.New(resolver.Options{Hosts: hosts}).Tags(t.Context(), a.Host+"/other"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "Registry v1") {
		t.Errorf("what is not there: %v", err)
	}
}

// TestTagsOfAV2RegistryAreNotLookedForInV1: the policy and the rule are those
// of Resolve.
func TestTagsOfAV2RegistryAreNotLookedForInV1(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		base   http.HandlerFunc
		policy resolver.V1Policy
	}{
		"never":         {policy: resolver.V1Never},
		"a v2 registry": {base: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t, row.base)
			root := t.TempDir()
			a.dir(t, root)
			hosts := newHosts(t, root)
			hosts.RegistryV1 = row.policy
			if tags, err := resolver.New(resolver.Options{Hosts: hosts}).Tags(t.Context(), a.Host+"/app"); !errdefs.IsNotFound(err) {
				t.Errorf("got %q, %v", tags, err)
			}
			for _, uri := range a.URIs() {
				// Whether there is one is asked, to say so.
				if strings.HasPrefix(uri, "GET /v1/") && (uri != "GET /v1/_ping" || row.policy == resolver.V1Never) {
					t.Errorf("asked for %s", uri)
				}
			}
		})
	}
}

// TestTagsWithAToken: a challenge is answered for the repository, and the token
// serves the pages that follow.
func TestTagsWithAToken(t *testing.T) {
	t.Parallel()
	var scopes []string
	var r *mtlsRegistry
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, req *http.Request) {
		scopes = append(scopes, req.URL.Query().Get("scope"))
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "sesame"})
	})
	lists := tagPages(`</v2/team/app/tags/list?%s>; rel="next"`, []string{"1"}, []string{"2"}, []string{"3"})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer sesame" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		lists.ServeHTTP(w, req)
	})
	r = newRegistry(t, mux)
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	got, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Tags(t.Context(), r.Host+"/team/app")
	if diff := cmp.Diff([]string{"1", "2", "3"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"repository:team/app:pull"}, scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}
