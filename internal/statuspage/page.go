package statuspage

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/bytesize"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
)

const (
	// perPage is how many registries a page shows, maxNeeds and maxServers how many
	// needs and servers.
	perPage    = 50
	maxNeeds   = 50
	maxServers = 50
	// maxQuery bounds the length of a search.
	maxQuery = 200
)

var page = template.Must(template.New("page.html.tmpl").Funcs(template.FuncMap{
	"ago": func(t, now time.Time) string { return status.Span(now.Sub(t)) }, "day": hostdir.Day, "clock": clock, "size": bytesize.Of,
	"title": status.Title, "nothing": status.Nothing, "ends": status.Ends, "plain": plain, "percent": percent,
}).ParseFS(assets, "page.html.tmpl"))

// view is the data that the page shows.
type view struct {
	*status.Status
	Ends     timeline
	Needs    []status.Need
	NeedsAll int
	Shown    []status.Registry
	Query    string
	Matching int
	// Page is the number of this page, of Pages; Previous and Next are 0 for none.
	Page, Pages, Previous, Next int
	Refusals                    []refusal
}

// refusal is how often a server refused every identity, and why.
type refusal struct {
	Host, Reason string
	Count        int
}

// servePage serves the page. It renders it completely before sending a byte.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) {
	var text bytes.Buffer
	if err := Render(&text, h.Snapshot(), r.URL.Query().Get("q"), r.URL.Query().Get("page")); err != nil {
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = text.WriteTo(w) // the client may have gone
}

// Render writes the page with that number of the registries with query in their names.
func Render(w *bytes.Buffer, st *status.Status, query, number string) error {
	query = safetext.Line(query[:min(len(query), maxQuery)], maxQuery)
	v := view{Status: st, Query: query, Ends: timelineOf(st), NeedsAll: len(st.Needs), Needs: st.Needs[:min(len(st.Needs), maxNeeds)], Refusals: refusals(st)}
	matching := matching(st, strings.ToLower(query))
	v.Matching = len(matching)
	v.Pages = max(1, (len(matching)+perPage-1)/perPage)
	v.Page, _ = strconv.Atoi(number) // anything else means the first
	v.Page = min(max(v.Page, 1), v.Pages)
	v.Previous = v.Page - 1
	if v.Page < v.Pages {
		v.Next = v.Page + 1
	}
	from := (v.Page - 1) * perPage
	v.Shown = matching[from:min(from+perPage, len(matching))]
	return page.Execute(w, v)
}

// matching returns the registries with query in their names, those that need a person
// first.
func matching(st *status.Status, query string) []status.Registry {
	needy := map[string]bool{}
	for _, n := range st.Needs {
		needy[n.Registry] = true
	}
	var first, rest []status.Registry
	for _, r := range st.Registries {
		switch {
		case !strings.Contains(r.Name, query):
		case needy[r.Name]:
			first = append(first, r)
		default:
			rest = append(rest, r)
		}
	}
	return append(first, rest...)
}

// refusals returns the refusals of all servers, the most frequent first.
func refusals(st *status.Status) []refusal {
	var all []refusal
	for _, s := range st.Servers {
		for _, reason := range slices.Sorted(maps.Keys(s.Refusals)) {
			all = append(all, refusal{s.Host, reason, s.Refusals[reason]})
		}
	}
	slices.SortStableFunc(all, func(a, b refusal) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(len(all), maxServers)]
}

// ServerOf returns what is known about an endpoint's server, nil for nothing.
func (v view) ServerOf(host string) *status.Server {
	i, found := slices.BinarySearchFunc(v.Servers, host, func(s status.Server, host string) int { return cmp.Compare(s.Host, host) })
	if !found || v.Servers[i].Certificate == nil {
		return nil
	}
	return &v.Servers[i]
}

// plain makes text from outside safe to print.
func plain(text string) string { return safetext.Line(text, 0) }

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%d %%", min(100, part*100/whole))
}
