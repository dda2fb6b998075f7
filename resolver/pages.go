package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/weblink"
)

// list is one that a registry may send in parts: of tags, of referrers.
type list struct {
	// what is in it, for people.
	what string
	// first asks for its beginning.
	first question
	// maxPages and maxBytes bound the parts, and all of them together.
	maxPages int
	maxBytes int64
	// maxTime is after which no further part is asked for; zero is maxListTime.
	maxTime time.Duration
}

// maxListTime is enough for the longest lists of slow registries.
const maxListTime = 30 * time.Minute

// read asks for one part after the other until none follows, or the list cannot
// be had whole. add is given each part; its error ends the list.
func (e *endpoint) read(ctx context.Context, l *list, add func(*answer) error) error {
	q := l.first
	seen := map[string]bool{requestURI(e.url(&q)): true}
	var read int64
	limit := cmp.Or(l.maxTime, maxListTime)
	began := time.Now()
	for range l.maxPages {
		a, err := e.get(ctx, q)
		if err != nil {
			return err
		}
		if read += int64(len(a.body)); read > l.maxBytes {
			return fmt.Errorf("%s lists %s in more than %d bytes", e.Host, l.what, l.maxBytes)
		}
		if err := add(a); err != nil {
			return err
		}
		next, err := nextPage(a.header, e.base(&q, a), e.url(&q))
		if err != nil {
			return fmt.Errorf("%s does not say where its list of %s continues: %w", e.Host, l.what, err)
		}
		if next == nil {
			return nil
		}
		if time.Since(began) > limit {
			return fmt.Errorf("%s takes too long to list %s: the list was not complete after %s", e.Host, l.what, limit)
		}
		q.at = next
		uri := requestURI(e.url(&q))
		if seen[uri] {
			return fmt.Errorf("%s lists the same %s again and again", e.Host, l.what)
		}
		seen[uri] = true
	}
	return fmt.Errorf("%s lists %s on more than %d pages", e.Host, l.what, l.maxPages)
}

// requestURI tells two parts of a list apart.
func requestURI(u *url.URL) string { return u.EscapedPath() + "?" + u.RawQuery }

// base is the URL that links in an answer are relative to: the one asked last,
// unless another host has answered. Lists are read from their endpoint alone.
func (e *endpoint) base(q *question, a *answer) *url.URL {
	if a.url != nil && a.url.Host == e.Host {
		return a.url
	}
	return e.url(q)
}

// nextPage is the path and query of the next part, nil after the last one. base
// is what the link is relative to, and asked the URL of this part.
//
// No link leads to another host: registries behind a proxy write schemes, hosts
// and prefixes into it that they cannot be reached by. What such a link says
// about the same list counts as its query, and where it has none as its path.
func nextPage(header http.Header, base, asked *url.URL) (*url.URL, error) {
	link, err := weblink.Next(header)
	if err != nil || link == nil {
		return nil, err
	}
	if link.Anchored {
		anchor, err := base.Parse(link.Anchor)
		if err != nil || anchor.EscapedPath() != base.EscapedPath() {
			return nil, fmt.Errorf("its header Link is about %.200q", link.Anchor)
		}
	}
	target, err := base.Parse(link.Target)
	if err != nil {
		return nil, errors.New("the link to the next part is not a URL")
	}
	// Some take ";" for what others take "&" for. None has it in a value.
	query := strings.ReplaceAll(target.RawQuery, ";", "&")
	if _, err := url.ParseQuery(query); err != nil {
		return nil, errors.New("the link to the next part has an invalid query")
	}
	next := &url.URL{Path: target.Path, RawPath: target.RawPath, RawQuery: query}
	if foreign := target.Host != base.Host; foreign && query != "" || sameList(target, asked) {
		next.Path, next.RawPath = asked.Path, asked.RawPath
	}
	if next.Path == "" || next.Path[0] != '/' {
		next.Path, next.RawPath = "/"+next.Path, ""
	}
	return next, nil
}

// sameList reports whether a path is that of the list that is being read, below
// whatever prefix.
func sameList(target, asked *url.URL) bool {
	_, name, found := strings.Cut(asked.EscapedPath(), "/v2/")
	return found && strings.HasSuffix(target.EscapedPath(), "/v2/"+name)
}
