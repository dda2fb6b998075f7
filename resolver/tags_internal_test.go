package resolver

import (
	"net/http"
	"testing"
)

func FuzzNextPage(f *testing.F) {
	for _, link := range []string{
		`</v2/app/tags/list?n=1&last=a>; rel="next"`, `<?a>;rel=next`, `<a>; rel="prev", <?b>; rel="next"`, `<;rel=next`, `<%zz>; rel=next`, `>>><<<`,
	} {
		f.Add(link)
	}
	f.Fuzz(func(t *testing.T, link string) {
		query, err := nextPage(http.Header{"Link": {link}})
		if err != nil && query != nil {
			t.Errorf("%q: %v with %v", link, query, err)
		}
	})
}
