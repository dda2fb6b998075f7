package v1compat

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func path(expr string) *regexp.Regexp { return regexp.MustCompile(expr) }

// warnings collects what a client warns of.
type warnings struct {
	mu   sync.Mutex
	list []string
}

func (w *warnings) of(c *Client) *warnings {
	c.Hooks.OnWarning = func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.list = append(w.list, err.Error())
	}
	return w
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.list, "\n")
}

func TestHeaderEndpoints(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name     string
		registry string
		lines    []string
		want     []string // without https:// and /v1/
		warns    int
		fails    bool
	}{
		{name: "none: the registry", want: []string{"reg.example:5000"}},
		{name: "empty: the registry", lines: []string{"", " \t", ","}, want: []string{"reg.example:5000"}},
		{name: "two lines with tabs and commas, in order", lines: []string{"b.example \t,  a.example:1 ", "\tc.example"}, want: []string{"b.example", "a.example:1", "c.example"}},
		{name: "the same twice", lines: []string{"a.example,A.example", "a.example:443"}, want: []string{"a.example"}},
		{name: "the registry's name without its port", lines: []string{"Reg.example"}, want: []string{"reg.example", "reg.example:5000"}},
		{name: "the registry's name with its port", lines: []string{"REG.example:5000"}, want: []string{"reg.example:5000"}},
		{name: "the registry's port is the scheme's", registry: "reg.example", lines: []string{"reg.example:443", "reg.example"}, want: []string{"reg.example"}},
		{name: "an address", lines: []string{"[2001:DB8::1]:5000,192.0.2.1"}, want: []string{"[2001:db8::1]:5000", "192.0.2.1"}},
		{name: "the registry's address without its port", registry: "[::1]:5000", lines: []string{"[::1]"}, want: []string{"[::1]", "[::1]:5000"}},
		{name: "a scheme is skipped", lines: []string{"https://evil.example/,a.example"}, want: []string{"a.example"}, warns: 1},
		{name: "other forms are skipped", lines: []string{"a/b, u@h, h?q, h#f, h%41, h:0, h:70000, h:, h h, .h, -h, ::1, [::1, [127.0.0.1], h\\x", "good"}, want: []string{"good"}, warns: 15},
		{name: "an IPv6 zone is skipped", lines: []string{"[fe80::1%25eth0]:1,a"}, want: []string{"a"}, warns: 1},
		{name: "nothing left fails", lines: []string{"http://reg.example:5000/v1/"}, warns: 1, fails: true},
		{name: "too many", lines: []string{strings.Repeat("h,", 3) + "a,b,c,d,e,f,g,i,j,k,l,m,n,o,p,q,r,s"}, want: strings.Split("h,a,b,c,d,e,f,g,i,j,k,l,m,n,o,p", ","), warns: 1},
		{name: "too many with the registry's port", lines: []string{"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,reg.example"}, want: strings.Split("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,reg.example", ",")},
		{name: "too many of another form", lines: []string{strings.Repeat("a/b,", 100) + "good"}, warns: 16, fails: true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := &Client{Host: row.registry}
			if c.Host == "" {
				c.Host = "reg.example:5000"
			}
			var w warnings
			w.of(c)
			base, err := c.base()
			if err != nil {
				t.Fatal(err)
			}
			list, err := c.headerEndpoints(base, http.Header{"X-Docker-Endpoints": row.lines})
			if (err != nil) != row.fails {
				t.Errorf("error %v", err)
			}
			var got []string
			for _, ep := range list {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(ep.base, "https://"), "/v1/"))
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if len(w.list) != row.warns {
				t.Errorf("%d warnings, want %d: %s", len(w.list), row.warns, &w)
			}
		})
	}
}

func TestEndpointMayBeRefused(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Endpoints: []string{"internal.example, {host}"}})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	var w warnings
	w.of(c)
	var asked []string
	c.AllowHost = func(host string) error {
		asked = append(asked, host)
		return errors.New("not on the list")
	}
	if _, err := c.Image(t.Context(), "busybox", "latest"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"internal.example:80"}, asked); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
	if !strings.Contains(w.String(), "not on the list") {
		t.Errorf("warnings: %s", &w)
	}
}

func TestNoUsableEndpoint(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Endpoints: []string{"http://{host}/v1/"}})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil || !strings.Contains(err.Error(), "no usable endpoint") {
		t.Errorf("error %v", err)
	}
}

func TestFailover(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		fail func(first *v1test.Server)
	}{
		{name: "first down", fail: func(first *v1test.Server) { first.Close() }},
		{name: "first does not have it"},
		{name: "first in trouble", fail: func(first *v1test.Server) { first.Fail(v1test.Failure{Status: 503, Times: -1}) }},
		{name: "first forbids it", fail: func(first *v1test.Server) { first.Fail(v1test.Failure{Status: 403, Times: -1}) }},
		{name: "first sends rubbish", fail: func(first *v1test.Server) {
			first.Fail(v1test.Failure{Status: 200, Body: "<html>", Times: -1})
		}},
		{name: "first fails halfway", fail: func(first *v1test.Server) {
			first.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
			first.Fail(v1test.Failure{Path: path(`/json$`), Status: 404})
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			first, second := v1test.New(v1test.Options{}), v1test.New(v1test.Options{})
			t.Cleanup(first.Close)
			t.Cleanup(second.Close)
			if row.fail != nil {
				row.fail(first)
			}
			second.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
			srv, c := registry(t, v1test.Quirks{Endpoints: []string{first.Host + "," + second.Host}})
			srv.Add("library/busybox", "other", v1test.Layer{})
			var w warnings
			w.of(c)
			img, err := c.Image(t.Context(), "busybox", "latest")
			if err != nil {
				t.Fatal(err)
			}
			if got := string(layerBytes(t, img.Entries[0])); got != "x" {
				t.Errorf("layer %q", got)
			}
			if !strings.Contains(w.String(), "trying the next endpoint: Registry v1 at http://"+first.Host) {
				t.Errorf("warnings: %s", &w)
			}
			before := len(first.Requests())
			layerBytes(t, img.Entries[0])
			if got := first.Requests(); len(got) != before {
				t.Errorf("the endpoint that failed was asked for a layer: %v", got[before:])
			}
		})
	}
}

func TestAllEndpointsFail(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name          string
		first, second int
		is            func(error) bool
	}{
		{name: "both do not have it", first: 404, second: 404, is: errdefs.IsNotFound},
		{name: "one refuses", first: 404, second: 403, is: errdefs.IsPermissionDenied},
		{name: "one wants a user", first: 401, second: 500, is: errdefs.IsUnauthorized},
		{name: "one in trouble may have it", first: 404, second: 500, is: func(err error) bool {
			return errdefs.IsUnavailable(err) && !errdefs.IsNotFound(err)
		}},
	}
	for _, row := range rows {
		first, second := v1test.New(v1test.Options{}), v1test.New(v1test.Options{})
		t.Cleanup(first.Close)
		t.Cleanup(second.Close)
		first.Fail(v1test.Failure{Status: row.first, Times: -1})
		second.Fail(v1test.Failure{Status: row.second, Times: -1})
		srv, c := registry(t, v1test.Quirks{Endpoints: []string{first.Host, second.Host}})
		srv.Add("library/busybox", "latest")
		_, err := c.Image(t.Context(), "busybox", "latest")
		if err == nil || !row.is(err) {
			t.Errorf("%s: error %v", row.name, err)
			continue
		}
		if a, b := strings.Index(err.Error(), first.Host), strings.Index(err.Error(), second.Host); a < 0 || b < a {
			t.Errorf("%s: error does not name both in order: %v", row.name, err)
		}
	}
}

func TestURLsStayBelowTheEndpoint(t *testing.T) {
	t.Parallel()
	ep, err := newEndpoint("https", "registry.test")
	if err != nil {
		t.Fatal(err)
	}
	if u, err := ep.url("images", "../x?y", "layer"); err != nil || u.String() != "https://registry.test/v1/images/..%2Fx%3Fy/layer" {
		t.Errorf("%v, %v", u, err)
	}
	for _, segments := range [][]string{{"..", "_ping"}, {"images", "..", "..", "v2"}} {
		if u, err := ep.url(segments...); err == nil || !strings.Contains(err.Error(), "leads out of https://registry.test/v1/") {
			t.Errorf("%q: %v, %v", segments, u, err)
		}
	}
}

func TestFailoverEndsWithItsContext(t *testing.T) {
	t.Parallel()
	first, second := v1test.New(v1test.Options{}), v1test.New(v1test.Options{})
	t.Cleanup(first.Close)
	t.Cleanup(second.Close)
	ctx, cancel := context.WithCancel(t.Context())
	first.Fail(v1test.Failure{Times: -1, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})})
	srv, c := registry(t, v1test.Quirks{Endpoints: []string{first.Host, second.Host}})
	srv.Add("library/busybox", "latest")
	var w warnings
	w.of(c)
	if _, err := c.Image(ctx, "busybox", "latest"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if len(w.list) != 0 {
		t.Errorf("went on after the end: %s", &w)
	}
}

// The example of certs.d names itself without its port; that port (80, or 443)
// is then somebody else's, or nobody's.
func TestEndpointWithoutThePort(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Endpoints: []string{"{name}"}})
	srv.Add("library/busybox", "latest", v1test.Layer{Data: []byte("x")})
	c.Credentials = as("alice", "s3cret")
	img, err := c.Image(t.Context(), "busybox", "latest")
	if err != nil {
		t.Fatal(err)
	}
	layerBytes(t, img.Entries[0])
	if got := authorizations(srv)["layer"]; got != basicAliceSecret {
		t.Errorf("the registry's own endpoint was sent Authorization %q", got)
	}
}
