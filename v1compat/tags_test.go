package v1compat

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

func withRepository(ctx context.Context, repository string) context.Context {
	return context.WithValue(ctx, repositoryKey{}, repository)
}

var id0 = strings.Repeat("0a", 32)

func TestParseTag(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, body string
		ok, fails  bool
	}{
		{name: "a JSON string", body: `"` + id0 + `"`, ok: true},
		{name: "with blanks", body: " \"" + id0 + "\"\n", ok: true},
		{name: "the bare id", body: id0 + "\n", ok: true},
		{name: "the bare id, digits only", body: strings.Repeat("1", 64), ok: true},
		{name: "empty"},
		{name: "null", body: "null"},
		{name: "an object", body: `{"latest":"` + id0 + `"}`},
		{name: "a page", body: "<html>"},
		{name: "a short id", body: `"0a0a0a0a0a0a0a0a"`, ok: true, fails: true},
		{name: "upper case", body: `"` + strings.ToUpper(id0) + `"`, ok: true, fails: true},
		{name: "a path", body: `"../../` + id0[6:] + `"`, ok: true, fails: true},
		{name: "a short bare id", body: "0a0a0a0a0a0a0a0a"},
	}
	for _, row := range rows {
		_, ok, err := parseTag([]byte(row.body))
		if ok != row.ok || (err != nil) != row.fails {
			t.Errorf("%s: %v, %v", row.name, ok, err)
		}
	}
}

// paths are the paths of the tag requests.
func tagRequests(srv *v1test.Server) []string {
	var list []string
	for _, r := range srv.Requests() {
		if rest, ok := strings.CutPrefix(r.URI, "/v1/repositories/"); ok {
			list = append(list, rest)
		}
	}
	return list
}

func TestRepositoryRequests(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name       string
		quirks     v1test.Quirks
		has        []string
		repository string
		want       []string
	}{
		{
			name: "docker's pair of names", repository: "busybox", has: []string{"library/busybox"},
			want: []string{"busybox/images", "library/busybox/tags/latest"},
		},
		{
			name: "only the list of tags", repository: "busybox", has: []string{"library/busybox"},
			quirks: v1test.Quirks{TagStatus: 404},
			want:   []string{"busybox/images", "library/busybox/tags/latest", "library/busybox/tags"},
		},
		{
			name: "method not allowed", repository: "a/b", has: []string{"a/b"},
			quirks: v1test.Quirks{TagStatus: 405},
			want:   []string{"a/b/images", "a/b/tags/latest", "a/b/tags"},
		},
		{
			name: "not implemented", repository: "a/b", has: []string{"a/b"},
			quirks: v1test.Quirks{TagStatus: 501},
			want:   []string{"a/b/images", "a/b/tags/latest", "a/b/tags"},
		},
		{
			name: "an empty answer is none", repository: "a/b", has: []string{"a/b"},
			quirks: v1test.Quirks{TagStatus: 200},
			want:   []string{"a/b/images", "a/b/tags/latest", "a/b/tags"},
		},
		{
			name: "the bare id", repository: "a/b", has: []string{"a/b"},
			quirks: v1test.Quirks{BareTag: true},
			want:   []string{"a/b/images", "a/b/tags/latest"},
		},
		{
			name: "a tree with library/ only", repository: "busybox", has: []string{"library/busybox"},
			quirks: v1test.Quirks{Library: v1test.LibraryExact},
			want:   []string{"busybox/images", "library/busybox/images", "library/busybox/tags/latest"},
		},
		{
			name: "a tree without library/", repository: "busybox", has: []string{"busybox"},
			quirks: v1test.Quirks{Library: v1test.LibraryExact},
			want:   []string{"busybox/images", "library/busybox/tags/latest", "library/busybox/tags", "busybox/tags/latest"},
		},
		{
			name: "library/ said by the user, a tree without", repository: "library/busybox", has: []string{"busybox"},
			quirks: v1test.Quirks{Library: v1test.LibraryExact},
			want: []string{
				"library/busybox/images", "busybox/images",
				"library/busybox/tags/latest", "library/busybox/tags", "busybox/tags/latest",
			},
		},
		{
			name: "a deep name", repository: "a/b/c", has: []string{"a/b/c"},
			want: []string{"a/b/c/images", "a/b/c/tags/latest"},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, row.quirks)
			for _, name := range row.has {
				srv.Add(name, "latest", v1test.Layer{})
			}
			if _, err := c.Image(t.Context(), row.repository, "latest"); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(row.want, tagRequests(srv)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTagErrors(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		fail v1test.Failure
		tag  string
		want string
		is   func(error) bool
	}{
		{name: "no such tag", tag: "v2", want: `no tag "v2" among its 1`, is: errdefs.IsNotFound},
		{name: "no such repository", fail: v1test.Failure{Path: path("images$"), Status: 404, Times: -1}, want: "may not see", is: errdefs.IsNotFound},
		{name: "the index wants a user", fail: v1test.Failure{Path: path("images$"), Status: 401}, want: "credentials are missing", is: errdefs.IsUnauthorized},
		{name: "the index forbids it", fail: v1test.Failure{Path: path("images$"), Status: 403}, want: "403 Forbidden", is: errdefs.IsPermissionDenied},
		{name: "the tag is forbidden", fail: v1test.Failure{Path: path("tags/latest$"), Status: 403}, want: "403 Forbidden", is: errdefs.IsPermissionDenied},
		{name: "the tag's id is none", fail: v1test.Failure{Path: path("tags/latest$"), Status: 200, Body: `"../../../etc/passwd"`}, want: "not an image id"},
		{name: "the list's id is none", fail: v1test.Failure{Path: path("tags/latest$|tags$"), Status: 200, Body: `{"latest": "0A"}`, Times: 2}, want: "not an image id"},
		{name: "the list's id is no string", fail: v1test.Failure{Path: path("tags/latest$|tags$"), Status: 200, Body: `{"latest": 5}`, Times: 2}, want: "not an image id"},
		{name: "the Hub's other form", fail: v1test.Failure{Path: path("tags/latest$|tags$"), Status: 200, Body: `[{"layer": "0a", "name": "latest"}]`, Times: 2}, want: "not a JSON object"},
		{name: "a digest", tag: "sha256:" + id0, want: "is not a tag", is: errdefs.IsInvalidArgument},
		{name: "a tag that begins with a dash", tag: "-", want: "is not a tag", is: errdefs.IsInvalidArgument},
		{name: "a long tag", tag: strings.Repeat("a", 129), want: "is not a tag", is: errdefs.IsInvalidArgument},
		{name: "a tag that is a path", tag: "a/../b", want: "is not a tag", is: errdefs.IsInvalidArgument},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, v1test.Quirks{})
			srv.Add("a/b", "latest", v1test.Layer{})
			if row.fail.Status != 0 {
				srv.Fail(row.fail)
			}
			tag := "latest"
			if row.tag != "" {
				tag = row.tag
			}
			_, err := c.Image(t.Context(), "a/b", tag)
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "Registry v1 at http://"+srv.Host+"/v1/: ") {
				t.Fatalf("error %v", err)
			}
			if row.is != nil && !row.is(err) {
				t.Errorf("wrong class: %v", err)
			}
		})
	}
}

func TestBadRepository(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "..", "a/../b", "a b", "a?b", "a%2fb", "a#b", "ä", strings.Repeat("a", 256)} {
		if _, err := c.Image(t.Context(), name, "latest"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if got := srv.URIs(); len(got) != 0 {
		t.Errorf("requests %q", got)
	}
}

func TestBadRegistry(t *testing.T) {
	t.Parallel()
	for _, c := range []*Client{{}, {Host: "a/b"}, {Host: "https://a"}, {Host: "u@a"}, {Host: "a", Scheme: "ftp"}} {
		if _, err := c.Image(t.Context(), "busybox", "latest"); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", c.Host, err)
		}
		if _, err := c.Ping(t.Context()); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: ping: %v", c.Host, err)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{Library: v1test.LibraryExact})
	srv.Add("busybox", "latest", v1test.Layer{})
	want := map[string]string{"v1": id0, "v2": strings.Repeat("b", 64)}
	for tag, id := range want {
		srv.SetTag("busybox", tag, id)
	}
	srv.SetTag("busybox", "latest", "../etc")
	srv.SetTag("busybox", "no tag", id0)
	var w warnings
	w.of(c)
	got, err := c.Tags(t.Context(), "busybox")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if len(w.list) != 2 {
		t.Errorf("warnings: %s", &w)
	}
	srv.Fail(v1test.Failure{Path: path("library/busybox/tags$"), Status: 200}) // as Apache's CGI without a file
	if got, err := c.Tags(t.Context(), "busybox"); err != nil || len(got) != len(want) {
		t.Errorf("an empty list is none: %v, %v", got, err)
	}
	if _, err := c.Tags(t.Context(), "other"); !errdefs.IsNotFound(err) {
		t.Errorf("tags of what is not there: %v", err)
	}
	srv.Fail(v1test.Failure{Path: path("tags$"), Status: http.StatusForbidden})
	if _, err := c.Tags(t.Context(), "busybox"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("forbidden tags: %v", err)
	}
}

// TestListInParts: lists of this protocol have none, and a part is not taken
// for the whole. A tag that is in it is one all the same.
func TestListInParts(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{
		TagStatus:    http.StatusNotFound,
		CommonHeader: map[string]string{"Link": `</v1/repositories/a/b/tags?page=2>; rel="next"`},
	})
	srv.Add("a/b", "1", v1test.Layer{Data: v1test.Tar(map[string]string{"a": "b"})})
	const want = `this is one page of the list of tags, which continues at "/v1/repositories/a/b/tags?page=2"`
	if tags, err := c.Tags(t.Context(), "a/b"); err == nil || tags != nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, %v", tags, err)
	}
	if _, err := c.Image(t.Context(), "a/b", "1"); err != nil {
		t.Errorf("a tag that is in the part: %v", err)
	}
	if _, err := c.Image(t.Context(), "a/b", "2"); err == nil || errdefs.IsNotFound(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("a tag that is not: %v", err)
	}
}
