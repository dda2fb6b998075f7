package weblink

import (
	"net/http"
	"strings"
	"testing"
)

func TestNext(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                                 "",
		`</v2/app/tags/list>; rel="next"`:  "/v2/app/tags/list",
		`<?a>;rel=next`:                    "?a",
		`<a>; rel="prev next"`:             "a",
		`<a>; rel = "next"`:                "a",
		`<a>; REL=NEXT`:                    "a",
		`<a>`:                              "a",
		`<>; rel=next`:                     "",
		`<a>; title="x"`:                   "a",
		`<a>; rel="prev"; rel="next"`:      "",
		`<a>; rel="prev", <b>; rel="next"`: "b",
		`<a>; rel="first",<b>; rel="last" , , <c>;rel=next,`: "c",
		`<a,b;c>; rel="next"; title="<x>; rel=\"prev\", "`:   "a,b;c",
		`<a>; title="a, <b>; rel=next"; rel="help"`:          "",
		`<a>; crossorigin; rel=next`:                         "a",
		`<a>; rel="http://x.test/next"`:                      "",
		`<a>;; rel=next;`:                                    "a",
		`<a>; rel=next, <a>; rel=next`:                       "a",
		`/v2/app/tags/list?last=a`:                           "/v2/app/tags/list?last=a",
		`/v2/app/tags/list?last=a; rel="next"`:               "/v2/app/tags/list?last=a",
		`https://a.test/x; rel="prev"`:                       "",
	} {
		l, err := Next(http.Header{"Link": {line}})
		got := ""
		if l != nil {
			got = l.Target
		}
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", line, got, err, want)
		}
	}
	l, err := Next(http.Header{"Link": {`<a>; rel=help`, `<b>; rel=next; anchor="#c"`}})
	if err != nil || l.Target != "b" || !l.Anchored || l.Anchor != "#c" {
		t.Errorf("of two lines with an anchor: %v, %v", l, err)
	}
}

func TestLinksThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`<a; rel=next`:                     "does not have the form of RFC 8288",
		`<a> rel=next`:                     "does not have the form of RFC 8288",
		`<a>; rel="next`:                   "does not have the form of RFC 8288",
		`<a>; rel=next, b`:                 "does not have the form of RFC 8288",
		`<a<b>; rel=next`:                  "does not have the form of RFC 8288",
		`next page`:                        "does not have the form of RFC 8288",
		`/a, /b`:                           "does not have the form of RFC 8288",
		`<a>; rel="next", <b>; rel="next"`: `leads to "a" and to "b"`,
	} {
		if l, err := Next(http.Header{"Link": {line}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", line, l, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		`</v2/app/tags/list?n=1&last=a>; rel="next"`, `<?a>;rel=next`, `<a>; rel="prev", <?b>; rel="next"`, `<;rel=next`, `<%zz>; rel=next`,
		`>>><<<`, `/v2/x?y; rel="a b"`, `<a>; x="\"`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		links, err := Parse(line)
		for _, l := range links {
			if err == nil && !strings.Contains(line, l.Target) {
				t.Errorf("%q: the target %q is not in it", line, l.Target)
			}
		}
		if err == nil && len(links) == 0 && strings.Trim(line, ", \t") != "" {
			t.Errorf("%q: was passed over", line)
		}
	})
}
