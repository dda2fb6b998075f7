package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// lists serves lists of tags and referrers.
type lists struct{ upstreams *upstreams }

// serveTags lists tags: the distribution specification, "Listing Tags".
func (l *lists) serveTags(w http.ResponseWriter, r *http.Request, t *target) error {
	page, err := parsePage(t.query)
	if err != nil {
		return err
	}
	tags, err := l.upstreams.resolverFor(t).fetch.Tags(r.Context(), t.ref())
	if err != nil {
		if f := faultOf(err); f.status == http.StatusNotFound {
			f.code = codeNameUnknown
			return f
		}
		return err
	}
	tags, more := page.of(tags)
	if more {
		next := url.Values{"n": {strconv.Itoa(len(tags))}, "last": {tags[len(tags)-1]}}
		if t.query.Has("ns") {
			next.Set("ns", t.query.Get("ns"))
		}
		w.Header().Set("Link", fmt.Sprintf("<%s?%s>; rel=\"next\"", r.URL.EscapedPath(), next.Encode()))
	}
	// Clients compare the name with the one they asked for.
	name := t.repository
	if !t.query.Has("ns") {
		name = t.pathName
	}
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{name, tags})
	if err != nil {
		return err
	}
	return writeJSON(w, r, http.StatusOK, "application/json", body)
}

// page is a page of a list.
type page struct {
	// n is the number of entries, negative for all.
	n int
	// last is the entry before the page.
	last string
}

func parsePage(query url.Values) (page, error) {
	p := page{n: -1, last: query.Get("last")}
	if query.Has("n") {
		n, err := strconv.ParseUint(query.Get("n"), 10, 31)
		if err != nil {
			return p, &fault{status: http.StatusBadRequest, code: codeUnsupported, message: fmt.Sprintf("n is %.50q, which is not a number", query.Get("n"))}
		}
		p.n = int(n)
	}
	return p, nil
}

// of returns the page of a sorted list, and whether another follows.
func (p page) of(list []string) ([]string, bool) {
	if p.last != "" {
		i, found := slices.BinarySearch(list, p.last)
		if found {
			i++
		}
		list = list[i:]
	}
	if p.n < 0 || p.n >= len(list) {
		// Return an empty list, not null.
		return append([]string{}, list...), false
	}
	return list[:p.n], p.n > 0
}

// serveReferrers lists the referrers of a digest: the distribution specification,
// "Listing Referrers". A registry without that API is asked for the fallback tag;
// without either there are no referrers.
func (l *lists) serveReferrers(w http.ResponseWriter, r *http.Request, t *target) error {
	fetcher, err := l.upstreams.resolverFor(t).fetch.Fetcher(r.Context(), t.ref())
	if err != nil {
		return err
	}
	referrers, ok := fetcher.(remotes.ReferrersFetcher)
	if !ok {
		return fmt.Errorf("a %T cannot fetch referrers", fetcher)
	}
	var options []remotes.FetchReferrersOpt
	if types := t.query["artifactType"]; len(types) > 0 {
		options = append(options, remotes.WithReferrerArtifactTypes(types...))
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	list, err := referrers.FetchReferrers(r.Context(), t.digest, options...)
	if err != nil {
		return err
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: append([]ocispec.Descriptor{}, list...),
	}
	body, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return writeJSON(w, r, http.StatusOK, ocispec.MediaTypeImageIndex, body)
}
