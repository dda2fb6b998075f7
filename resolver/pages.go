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

// list is a list of tags or referrers that a registry may send in pages.
type list struct {
	// what names the content in messages.
	what string
	// first requests the first page.
	first question
	// maxPages bounds the number of pages, maxBytes their total size.
	maxPages int
	maxBytes int64
	// maxTime is the time after which no further page is requested; zero is
	// maxListTime.
	maxTime time.Duration
}

// maxListTime suffices for the longest lists of slow registries.
const maxListTime = 30 * time.Minute

// read requests page after page until none follows, or the list cannot be completed.
// It calls add with each page; an error from add ends the list.
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

// requestURI identifies a page of a list.
func requestURI(u *url.URL) string { return u.EscapedPath() + "?" + u.RawQuery }

// base returns the URL that links in an answer are relative to: the one requested
// last, unless another host answered. Lists are read only from their endpoint.
func (e *endpoint) base(q *question, a *answer) *url.URL {
	if a.url != nil && a.url.Host == e.Host {
		return a.url
	}
	return e.url(q)
}

// nextPage returns path and query of the next page, nil after the last one. base is
// the URL that the link is relative to, asked the URL of this page.
//
// A link never leads to another host: registries behind a proxy write schemes, hosts
// and prefixes into it that do not reach them. From a link to the same list only the
// query is used, or the path if there is no query.
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
	// Some registries use ";" instead of "&". None has it in a value.
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

// sameList reports whether a path is that of the list being read, below any prefix.
func sameList(target, asked *url.URL) bool {
	_, name, found := strings.Cut(asked.EscapedPath(), "/v2/")
	return found && strings.HasSuffix(target.EscapedPath(), "/v2/"+name)
}
