package v1compat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/internal/weblink"
)

// errAbsent is what an empty answer means: Apache answers tags/latest with 200
// and no body where tags is a file (the rest of the path is path info).
var errAbsent = fmt.Errorf("empty answer: %w", errdefs.ErrNotFound)

// tagReader finds what tags a repository has.
type tagReader struct{ *session }

// resolve finds the id that tag names. Docker asked for tags/{tag} since 1.8
// and for the whole list before; GCR and most static trees know only the list.
func (s tagReader) resolve(ctx context.Context, ep endpoint, tag string) (string, error) {
	var first error
	for _, name := range s.tagNames() {
		id, err := s.resolveIn(ctx, ep, name, tag)
		if err == nil {
			return id, nil
		}
		if first == nil {
			first = err
		}
		if !absent(err) {
			return "", err
		}
	}
	return "", first
}

// tagNames returns the names under which the repository may have tags. Docker put
// library/ before a name without namespace here, and only here.
func (s tagReader) tagNames() []string {
	if !strings.Contains(s.repository, "/") {
		return []string{"library/" + s.repository, s.repository}
	}
	if rest, ok := strings.CutPrefix(s.repository, "library/"); ok && !strings.Contains(rest, "/") {
		return []string{s.repository, rest}
	}
	return []string{s.repository}
}

func (s tagReader) resolveIn(ctx context.Context, ep endpoint, name, tag string) (string, error) {
	segments := repositorySegments(name, "tags", tag)
	body, _, err := s.document(ctx, ep, s.c.Limits.document(), segments...)
	switch {
	case err == nil:
		id, ok, err := parseTag(body)
		if err != nil {
			return "", s.located(ep, segments, &Error{Err: &UnusableError{err}})
		}
		if ok {
			return id, nil
		}
	case !absent(err):
		return "", err
	}
	tags, err := s.tagsOf(ctx, ep, name)
	if id, ok := tags[tag]; ok {
		if err := validID(id); err != nil {
			return "", s.located(ep, repositorySegments(name, "tags"), &Error{Err: &UnusableError{fmt.Errorf("tag %q: %w", tag, err)}})
		}
		return id, nil
	}
	if err != nil {
		return "", err
	}
	return "", s.located(ep, repositorySegments(name, "tags"), &Error{
		Err: fmt.Errorf("the repository has no tag %q among its %d: %w", tag, len(tags), errdefs.ErrNotFound),
	})
}

// absent reports whether a server does not have what was asked for, or does not
// know how to answer.
func absent(err error) bool {
	switch status(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return errors.Is(err, errdefs.ErrNotFound)
}

// parseTag reads the answer for one tag: a JSON string, or the bare id where a
// server hands out python's tag_NAME file. Anything else is no answer; a
// string that is not an id is an error.
func parseTag(body []byte) (id string, ok bool, err error) {
	body = bytes.TrimSpace(body)
	if json.Unmarshal(body, &id) != nil {
		id = string(body)
		return id, validID(id) == nil, nil
	}
	if len(body) == 0 || body[0] != '"' {
		return "", false, nil // null
	}
	return id, true, validID(id)
}

// listTags reads the list of tags for its own sake.
func (s tagReader) listTags(ctx context.Context, ep endpoint) (map[string]string, error) {
	var first error
	for _, name := range s.tagNames() {
		tags, err := s.tagsOf(ctx, ep, name)
		if err == nil {
			return s.usable(ep, name, tags), nil
		}
		if first == nil {
			first = err
		}
		if !absent(err) {
			return nil, err
		}
	}
	return nil, first
}

// usable drops what is no tag or no id, with a warning.
func (s tagReader) usable(ep endpoint, name string, tags map[string]string) map[string]string {
	for tag, id := range tags {
		if err := errors.Join(validTag(tag), validID(id)); err != nil {
			delete(tags, tag)
			s.c.warn(s.located(ep, repositorySegments(name, "tags"), &Error{Err: fmt.Errorf("skipped: %w", err)}))
		}
	}
	return tags
}

// tagsOf reads the list of tags. Of a list that does not end with the answer it
// returns what is in there, and an error.
func (s tagReader) tagsOf(ctx context.Context, ep endpoint, name string) (map[string]string, error) {
	segments := repositorySegments(name, "tags")
	body, header, err := s.document(ctx, ep, s.c.Limits.document(), segments...)
	if err != nil {
		return nil, err
	}
	tags, err := parseTags(body)
	if err == nil {
		err = whole(header)
	}
	if err != nil {
		return tags, s.located(ep, segments, &Error{Err: err})
	}
	return tags, nil
}

// whole reports whether a list ends here: the protocol knows no parts, and who
// leads to more has not sent all.
func whole(header http.Header) error {
	next, err := weblink.Next(header)
	if err == nil && next != nil {
		err = fmt.Errorf("this is one page of the list of tags, which continues at %.200q; lists of Registry v1 have no pages", next.Target)
	}
	return err
}

// parseTags reads the list of tags. A value that is not a string is kept as an
// empty id: only the one asked for matters.
func parseTags(body []byte) (map[string]string, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, errAbsent
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(body, &values); err != nil || values == nil {
		return nil, errors.New("the list of tags is not a JSON object")
	}
	tags := make(map[string]string, len(values))
	for tag, value := range values {
		var id string
		_ = json.Unmarshal(value, &id)
		tags[tag] = id
	}
	return tags, nil
}
