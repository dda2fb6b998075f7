package v1compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

var (
	idA = strings.Repeat("a", 64)
	idB = strings.Repeat("b", 64)
)

func list(ids ...string) []byte {
	b, err := json.Marshal(ids)
	if err != nil {
		panic(err)
	}
	return b
}

func TestParseAncestry(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 257 {
		many = append(many, fmt.Sprintf("%064x", i))
	}
	rows := []struct {
		name string
		body []byte
		id   string
		want string // of the error; none if empty
	}{
		{name: "one", body: list(idA)},
		{name: "two", body: list(idA, idB)},
		{name: "the longest", body: list(many[:256]...), id: many[0]},
		{name: "too long", body: list(many...), id: many[0], want: "257 images"},
		{name: "none", body: list(), want: "0 images"},
		{name: "null", body: []byte("null"), want: "0 images"},
		{name: "empty", want: "not a JSON list"},
		{name: "lines, as a draft of the specification has it", body: []byte(idA + "\n" + idB), want: "not a JSON list"},
		{name: "numbers", body: []byte("[1]"), want: "not a JSON list"},
		{name: "a duplicate", body: list(idA, idB, idB), want: "twice"},
		{name: "a cycle", body: list(idA, idB, idA), want: "twice"},
		{name: "another first", body: list(idB, idA), want: "begins with " + idB},
		{name: "the base first", body: list(idB), want: "begins with " + idB},
		{name: "a path", body: list(idA, "../../"+idB[6:]), want: "not an image id"},
		{name: "16 digits", body: list(idA, idB[:16]), want: "not an image id"},
		{name: "upper case", body: list(idA, strings.ToUpper(idB)), want: "not an image id"},
		{name: "65 digits", body: list(idA, idB+"b"), want: "not an image id"},
		{name: "an empty id", body: list(idA, ""), want: "not an image id"},
	}
	for _, row := range rows {
		id := idA
		if row.id != "" {
			id = row.id
		}
		_, err := parseAncestry(row.body, id, ClientLimits{}.ancestry())
		if (err != nil) != (row.want != "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, body, parent string
		fails              bool
	}{
		{name: "complete", body: `{"id":"` + idA + `","parent":"` + idB + `"}`, parent: idB},
		{name: "of a base", body: `{"id":"` + idA + `"}`},
		{name: "hand-made, without parent", body: `{"id":"` + idA + `"}`, parent: idB},
		{name: "without id", body: `{}`, parent: idB},
		{name: "an empty parent", body: `{"parent":""}`},
		{name: "null", body: `{"id":null,"parent":null}`, parent: idB},
		{name: "another id", body: `{"id":"` + idB + `"}`, fails: true},
		{name: "an id that is a path", body: `{"id":"../../etc"}`, fails: true},
		{name: "another parent", body: `{"parent":"` + idA + `"}`, parent: idB, fails: true},
		{name: "a base with a parent", body: `{"parent":"` + idB + `"}`, fails: true},
		{name: "a number for an id", body: `{"id":1}`, fails: true},
		{name: "a list", body: `[]`, fails: true},
		{name: "empty", fails: true},
		{name: "a page", body: `<html>`, fails: true},
	}
	for _, row := range rows {
		if err := checkJSON([]byte(row.body), idA, row.parent); (err != nil) != row.fails {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// What the checks refuse reaches no URL: the servers see nothing after it.
func TestHostileImage(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		change func(*v1test.Image)
		want   string
	}{
		{name: "an ancestry that leaves the images", want: "not an image id", change: func(i *v1test.Image) { i.Ancestry[1] = "../_ping" }},
		{name: "an ancestry with a cycle", want: "twice", change: func(i *v1test.Image) { i.Ancestry = append(i.Ancestry, i.ID) }},
		{name: "a JSON with another id", want: "has the id", change: func(i *v1test.Image) { i.JSON = []byte(`{"id": "../../x"}`) }},
		{name: "a JSON with another parent", want: "has the parent", change: func(i *v1test.Image) { i.JSON = []byte(`{"parent": "../../x"}`) }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, v1test.Quirks{})
			built := srv.Add("a/b", "latest", v1test.Layer{Data: []byte("x")}, v1test.Layer{Data: []byte("y")})
			srv.Change(built[1].ID, row.change)
			_, err := c.Image(t.Context(), "a/b", "latest")
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), row.want) || !strings.HasSuffix(err.Error(), ": "+NextForUnusable) {
				t.Errorf("error %v", err)
			}
			for _, uri := range srv.URIs() {
				if strings.Contains(uri, "..") {
					t.Errorf("request %q", uri)
				}
			}
		})
	}
}

func TestDependencyJSON(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	ids := []string{strings.Repeat("1", 64), strings.Repeat("2", 64)}
	srv.Add("a/b", "latest",
		v1test.Layer{ID: ids[0], JSON: []byte(`{"id":"` + ids[0] + `"}`)},
		v1test.Layer{ID: ids[1], JSON: []byte(`{"id":"` + ids[1] + `","parent":"` + ids[0] + `","config":{}}`)},
	)
	img, err := c.Image(t.Context(), "a/b", "latest")
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{img.Entries[0].ID, img.Entries[1].ID}; !slices.Equal(got, ids) {
		t.Errorf("entries %q: the base comes first", got)
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"tags/latest", "ancestry", "json"} {
		srv, c := registry(t, v1test.Quirks{})
		srv.Add("a/b", "latest", v1test.Layer{})
		c.Limits.Document = 1000
		srv.Fail(v1test.Failure{Path: path(what + "$"), Status: 200, Body: strings.Repeat(" ", 1001), Times: -1})
		_, err := c.Image(t.Context(), "a/b", "latest")
		if !errors.Is(err, errTooLarge) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestImageJSONsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	long := map[string]any{"comment": strings.Repeat("x", 500)}
	srv.Add("a/b", "latest", v1test.Layer{Fields: long}, v1test.Layer{Fields: long})
	c.Limits.ImageJSON = 1200
	if _, err := c.Image(t.Context(), "a/b", "latest"); !errors.Is(err, errTooLarge) {
		t.Errorf("error %v", err)
	}
	c.Limits.ImageJSON = 4000
	if _, err := c.Image(t.Context(), "a/b", "latest"); err != nil {
		t.Error(err)
	}
}

// The index answer's body is used for nothing: neither read whole nor parsed.
func TestIndexBodyMayBeAnything(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "[]", "{}", "<html>", strings.Repeat("x", 100_000)} {
		srv, c := registry(t, v1test.Quirks{})
		srv.Add("a/b", "latest", v1test.Layer{})
		srv.Fail(v1test.Failure{Path: path("images$"), Status: 200, Body: body})
		if _, err := c.Image(t.Context(), "a/b", "latest"); err != nil {
			t.Errorf("%.10q: %v", body, err)
		}
	}
}

func TestSizeAndChecksums(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		quirks v1test.Quirks
		size   int64
	}{
		{name: "right size, python 0.9", quirks: v1test.Quirks{Checksum: "X-Docker-Checksum-Payload"}, size: 10},
		{name: "no size, python 0.7", quirks: v1test.Quirks{Size: v1test.SizeAbsent, Checksum: "X-Docker-Payload-Checksum"}, size: -1},
		{name: "size zero, python 0.6", quirks: v1test.Quirks{Size: v1test.SizeZero, Checksum: "X-Docker-Checksum"}},
		{name: "wrong size", quirks: v1test.Quirks{Size: v1test.SizeWrong}, size: 11},
		{name: "size that is no number", quirks: v1test.Quirks{Size: v1test.SizeJunk}, size: -1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, row.quirks)
			built := srv.Add("a/b", "latest", v1test.Layer{Data: []byte("0123456789")})
			img, err := c.Image(t.Context(), "a/b", "latest")
			if err != nil {
				t.Fatal(err)
			}
			e := img.Entries[0]
			if e.Size != row.size {
				t.Errorf("size %d, want %d", e.Size, row.size)
			}
			var want []string
			if row.quirks.Checksum != "" {
				want = []string{"tarsum+sha256:" + strings.Repeat("0", 64), built[0].Checksum()}
			}
			if diff := cmp.Diff(want, e.Checksums); diff != "" {
				t.Errorf("checksums (-want +got):\n%s", diff)
			}
			if got := string(layerBytes(t, e)); got != "0123456789" {
				t.Errorf("layer %q", got)
			}
		})
	}
}

func TestChecksumHeaders(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Add("X-Docker-Checksum", "sha256:old")
	h.Add("X-Docker-Payload-Checksum", "sha256:a, tarsum:b")
	h.Add("X-Docker-Payload-Checksum", "sha256:old")
	h.Add("X-Docker-Checksum-Payload", strings.Repeat("x", 257))
	if diff := cmp.Diff([]string{"sha256:a", "tarsum:b", "sha256:old"}, checksums(h)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 100 {
		h.Add("X-Docker-Checksum", strconv.Itoa(i))
	}
	if got := len(checksums(h)); got != 16 {
		t.Errorf("%d values", got)
	}
}

func TestDocumentIsTriedAgain(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		fail v1test.Failure
		want int // requests for the document; fails if it is one
	}{
		{name: "in trouble, twice", fail: v1test.Failure{Status: 503, Times: 2}, want: 3},
		{name: "in trouble", fail: v1test.Failure{Status: 500, Times: -1}, want: 3},
		{name: "too many requests", fail: v1test.Failure{Status: 429}, want: 2},
		{name: "cut before the answer", fail: v1test.Failure{CutAfter: -1, Times: 2}, want: 3},
		{name: "cut in the answer", fail: v1test.Failure{CutAfter: 5, Times: 2}, want: 3},
		{name: "being uploaded", fail: v1test.Failure{Status: 400, Body: `{"error": "Image is being uploaded, retry later"}`}, want: 1},
		{name: "forbidden", fail: v1test.Failure{Status: 403}, want: 1},
		{name: "not there", fail: v1test.Failure{Status: 404}, want: 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, v1test.Quirks{})
			srv.Add("a/b", "latest", v1test.Layer{Data: []byte("x")})
			row.fail.Path = path("/json$")
			srv.Fail(row.fail)
			_, err := c.Image(t.Context(), "a/b", "latest")
			if fails := row.want == 1 || row.fail.Times < 0; (err != nil) != fails {
				t.Errorf("error %v", err)
			}
			if err != nil && row.fail.Status == 400 && !strings.Contains(err.Error(), "retry later") {
				t.Errorf("error leaves out the registry's: %v", err)
			}
			if err != nil && row.fail.Status == 500 && !errdefs.IsUnavailable(err) {
				t.Errorf("wrong class: %v", err)
			}
			got := 0
			for _, uri := range srv.URIs() {
				if strings.HasSuffix(uri, "/json") {
					got++
				}
			}
			// net/http repeats a request whose kept connection was cut before
			// the answer by itself.
			if got < row.want || got > row.want && row.fail.CutAfter >= 0 {
				t.Errorf("%d requests, want %d", got, row.want)
			}
		})
	}
}
