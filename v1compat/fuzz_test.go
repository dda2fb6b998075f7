package v1compat

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func FuzzAncestry(f *testing.F) {
	f.Add([]byte(`["`+idA+`","`+idB+`"]`), idA)
	f.Add([]byte(`["../../x"]`), "../../x")
	f.Fuzz(func(t *testing.T, body []byte, id string) {
		ids, err := parseAncestry(body, id, 256)
		if err != nil {
			return
		}
		if len(ids) == 0 || len(ids) > 256 || ids[0] != id {
			t.Errorf("%d ids, first not %q", len(ids), id)
		}
		for _, id := range ids {
			if validID(id) != nil {
				t.Errorf("id %q", id)
			}
		}
	})
}

func FuzzTags(f *testing.F) {
	f.Add([]byte(`"` + idA + `"`))
	f.Add([]byte(idA + "\n"))
	f.Add([]byte(`{"latest":"` + idA + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, ok, err := parseTag(body)
		if ok && err == nil && validID(id) != nil {
			t.Errorf("id %q", id)
		}
		s := &session{c: &Client{}}
		tags, err := parseTags(body)
		if err != nil {
			return
		}
		for tag, id := range (tagReader{s}).usable(endpoint{}, "x", tags) {
			if validTag(tag) != nil || validID(id) != nil {
				t.Errorf("%q: %q", tag, id)
			}
		}
	})
}

func FuzzEndpoints(f *testing.F) {
	f.Add("host \t,  test.example.com ", "reg.example:5000")
	f.Add("[::1]:5000,reg.example", "reg.example:5000")
	f.Add("https://a/b?c#d@e%41", "[::1]")
	f.Fuzz(func(t *testing.T, line, host string) {
		c := &Client{Host: host}
		base, err := c.base()
		if err != nil {
			return
		}
		list, err := c.headerEndpoints(base, http.Header{"X-Docker-Endpoints": {line}})
		if err == nil && (len(list) == 0 || len(list) > 16) {
			t.Errorf("%d endpoints", len(list))
		}
		for _, ep := range list {
			u, err := url.Parse(ep.base)
			if err != nil || u.Scheme != "https" || u.Path != "/v1/" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
				t.Fatalf("endpoint %q: %v", ep.base, err)
			}
			if _, _, err := splitHostPort(u.Host); err != nil || originOf(u) != ep.origin {
				t.Errorf("endpoint %q: %v", ep.base, err)
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(`Token signature=a,repository="n/s",access=read`, "sigv2=b")
	f.Add("Token ", "token")
	f.Fuzz(func(t *testing.T, a, b string) {
		token, err := parseToken([]string{a, b})
		if err != nil && token != "" {
			t.Errorf("%q with %v", token, err)
		}
		if len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("token %q", token)
		}
	})
}

// What a server sends as Location leads to https, to a host and no further.
func FuzzRedirect(f *testing.F) {
	f.Add("https://b/y?sig=1")
	f.Add("//b")
	f.Fuzz(func(t *testing.T, location string) {
		u, err := redirectTo(&url.URL{Scheme: "https", Host: "a", Path: "/v1/"}, location)
		if err == nil && (u.Scheme != "https" || u.User != nil || u.Hostname() == "" || u.Fragment != "") {
			t.Errorf("%q leads to %s", location, u)
		}
	})
}
