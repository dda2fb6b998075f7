package resolver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// answering is a registry that answers 202 with a Location, and tells of the
// requests that follow.
type answering struct {
	location string
	// asked is the URL that POST was asked at in the end.
	asked string
	puts  []*http.Request
}

// RoundTrip implements http.RoundTripper.
func (a *answering) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusCreated, Header: http.Header{}, Body: http.NoBody, Request: req}
	if req.Method == http.MethodPut {
		a.puts = append(a.puts, req)
		return resp, nil
	}
	resp.StatusCode = http.StatusAccepted
	if resp.Request = req.Clone(req.Context()); a.asked != "" {
		resp.Request.URL, _ = url.Parse(a.asked)
	}
	if a.location != "" {
		resp.Header.Set("Location", a.location)
	}
	return resp, nil
}

// asPusher makes of a Location what containerd's pusher does.
func asPusher(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Add("digest", "sha256:00")
	return u.Scheme + "://" + u.Host + u.Path + "?" + q.Encode() + "&ns=r.test"
}

// TestLocationOfUploads: each form of RFC 3986's references, with its escapes.
func TestLocationOfUploads(t *testing.T) {
	t.Parallel()
	const post = "https://r.test/v2/app/blobs/uploads/"
	for _, row := range []struct{ location, asked, want string }{
		{location: "https://r.test/v2/app/blobs/uploads/1", want: "https://r.test/v2/app/blobs/uploads/1?"},
		{location: "/v2/app/blobs/uploads/1", want: "https://r.test/v2/app/blobs/uploads/1?"},
		{location: "1", want: "https://r.test/v2/app/blobs/uploads/1?"},
		{location: "../uploads/1", want: "https://r.test/v2/app/blobs/uploads/1?"},
		{location: "./1?a=b", want: "https://r.test/v2/app/blobs/uploads/1?a=b&"},
		{location: "//up.test:5/1", want: "https://up.test:5/1?"},
		{location: "?id=1", want: "https://r.test/v2/app/blobs/uploads/?id=1&"},
		{location: "/u/a%2Fb%20c/%3F?_state=a%2Bb%2Fc%3D%3D&flag&x=+", want: "https://r.test/u/a%2Fb%20c/%3F?_state=a%2Bb%2Fc%3D%3D&flag&x=+&"},
		{location: "/1#part", want: "https://r.test/1?"},
		{location: "/1?certsd-location=L3g", want: "https://r.test/1?certsd-location=L3g&"},
		{location: "1", asked: "https://other.test/x/y", want: "https://other.test/x/1?"},
		{location: "/1", asked: "http://r.test/v2/app/blobs/uploads/", want: "http://r.test/1?"},
	} {
		server := &answering{location: row.location, asked: row.asked}
		l := &locations{server, "https://r.test"}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, post, http.NoBody)
		resp, err := l.RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", row.location, err)
			continue
		}
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPut, asPusher(t, resp.Header.Get("Location")), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer x")
		if _, err := l.RoundTrip(req); err != nil {
			t.Errorf("%s: %v", row.location, err)
			continue
		}
		put := server.puts[0]
		if got, want := put.URL.String(), row.want+"digest=sha256%3A00&ns=r.test"; got != want {
			t.Errorf("%s: asked %s, want %s", row.location, got, want)
		}
		if home := strings.HasPrefix(row.want, "https://r.test/"); (put.Header.Get("Authorization") != "") != home {
			t.Errorf("%s: Authorization %q at %s", row.location, put.Header.Get("Authorization"), put.URL)
		}
	}
}

func TestLocationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"":                    "r.test accepted an upload but sent no Location to upload to",
		"http://r.test/1":     "r.test was asked over https but wants the upload at http://r.test, unencrypted, which is refused",
		"file:///etc/passwd":  "r.test: the Location of the upload is not an HTTP URL",
		"mailto:a@b.test":     "r.test: the Location of the upload is not an HTTP URL",
		"https://%zz/secret1": "r.test: the Location of the upload is not a URL",
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://r.test/v2/app/blobs/uploads/", http.NoBody)
		resp, err := (&locations{&answering{location: location}, "https://r.test"}).RoundTrip(req)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, %v", location, resp, err)
		}
	}
}

func FuzzLocation(f *testing.F) {
	for _, location := range []string{"", "/v2/a/blobs/uploads/1?_state=a%2Bb", "../x", "//h/p", "?q", "a%2Fb", "http://[::1]:5/%zz", "x;y?z;w#f", "%"} {
		f.Add(location)
	}
	f.Fuzz(func(t *testing.T, location string) {
		asked := &url.URL{Scheme: "https", Host: "r.test", Path: "/v2/app/blobs/uploads/"}
		resp := &http.Response{Header: http.Header{"Location": {location}}, Request: &http.Request{URL: asked}}
		text, err := carrying(resp)
		if err != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" {
			t.Fatalf("%q: %q, %v", location, text, err)
		}
		at, ok, err := carried(u)
		want, _ := asked.Parse(location)
		if err != nil || !ok || at.EscapedPath() != want.EscapedPath() || at.Host != want.Host || at.RawQuery != strings.Trim(want.RawQuery, "&") {
			t.Errorf("%q: got %v, want %v, %v", location, at, want, err)
		}
	})
}
