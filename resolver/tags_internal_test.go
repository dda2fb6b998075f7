package resolver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestNextPage(t *testing.T) {
	t.Parallel()
	asked := &url.URL{Scheme: "https", Host: "r.test:5000", Path: "/p/v2/team/app/tags/list"}
	for link, want := range map[string]string{
		`<?last=a>; rel=next`:                                     "/p/v2/team/app/tags/list?last=a",
		`<list?last=a>; rel=next`:                                 "/p/v2/team/app/tags/list?last=a",
		`<?>; rel=next`:                                           "/p/v2/team/app/tags/list",
		`</p/v2/team/app/tags/page/a>; rel=next`:                  "/p/v2/team/app/tags/page/a",
		`<../page/a%2Fb?x=a%2Bb&flag>; rel=next`:                  "/p/v2/team/app/page/a%2Fb?x=a%2Bb&flag",
		`</v2/team/app/tags/list?last=a>; rel=next`:               "/p/v2/team/app/tags/list?last=a",
		`<http://inside:80/x/v2/team/app/tags/list?l=a>;rel=next`: "/p/v2/team/app/tags/list?l=a",
		`<http://inside:80/elsewhere?l=a>;rel=next`:               "/p/v2/team/app/tags/list?l=a",
		`<http://inside:80/v2/team/app/tags/page/a>;rel=next`:     "/v2/team/app/tags/page/a",
		`<?last=a&n=1;x=1>; rel=next`:                             "/p/v2/team/app/tags/list?last=a&n=1&x=1",
		`<?a>; rel=next; anchor="list"`:                           "/p/v2/team/app/tags/list?a",
		`<mailto:a@b.test>; rel=next`:                             "/",
	} {
		next, err := nextPage(http.Header{"Link": {link}}, asked, asked)
		if err != nil || next == nil || strings.TrimSuffix(requestURI(next), "?") != want {
			t.Errorf("%s: got %v, %v, want %s", link, next, err, want)
		}
	}
	if next, err := nextPage(http.Header{"Link": {`<?a>; rel=next; anchor="/v2/other/tags/list"`}}, asked, asked); err == nil {
		t.Errorf("a link of another list: %v", next)
	}
}

func FuzzNextPage(f *testing.F) {
	for _, link := range []string{
		`</v2/app/tags/list?n=1&last=a>; rel="next"`, `<?a>;rel=next`, `<a>; rel="prev", <?b>; rel="next"`, `<;rel=next`, `<%zz>; rel=next`, `>>><<<`,
		`<//h/p;x?a;b#c>; rel=next`, `<a:b>; rel=next; anchor="?"`,
	} {
		f.Add(link)
	}
	asked := &url.URL{Scheme: "https", Host: "r.test", Path: "/v2/app/tags/list"}
	f.Fuzz(func(t *testing.T, link string) {
		next, err := nextPage(http.Header{"Link": {link}}, asked, asked)
		switch {
		case err != nil && next != nil:
			t.Errorf("%q: %v with %v", link, next, err)
		case next != nil && (next.Host != "" || next.Scheme != "" || next.User != nil || !strings.HasPrefix(next.Path, "/")):
			t.Errorf("%q: leads away, to %v", link, next)
		}
	})
}

func FuzzTagsIn(f *testing.F) {
	for _, body := range []string{`{"name":"a","tags":null}`, `{"tags":["1"]}`, `{}`, `null`, `{"tags":{"1":"x"}}`, `{"errors":[]}`, `[]`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if tags, err := tagsIn(body); err == nil && len(tags) > len(body) {
			t.Errorf("%q: %d tags", body, len(tags))
		}
	})
}
