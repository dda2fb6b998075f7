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

// errAbsent reports an empty answer: Apache answers tags/latest with 200 and no body
// where tags is a file (the rest of the path is path info).
var errAbsent = fmt.Errorf("empty answer: %w", errdefs.ErrNotFound)

// tagReader reads the tags of a repository.
type tagReader struct{ *session }

// resolve returns the id that tag names. Docker has requested tags/{tag} since 1.8,
// and the whole list before; GCR and most static trees know only the list.
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

// tagNames returns the names under which the repository may have tags. Docker
// prefixed a name without namespace with library/ here, and only here.
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

// absent reports whether the server lacks what was requested, or does not support the
// request.
func absent(err error) bool {
	switch status(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return errors.Is(err, errdefs.ErrNotFound)
}

// parseTag parses the answer for one tag: a JSON string, or the bare id where a
// server serves the Python registry's tag_NAME file. Anything else is no answer; a
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

// listTags returns the list of tags for Client.Tags.
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

// usable drops invalid tags and ids, with a warning.
func (s tagReader) usable(ep endpoint, name string, tags map[string]string) map[string]string {
	for tag, id := range tags {
		if err := errors.Join(validTag(tag), validID(id)); err != nil {
			delete(tags, tag)
			s.c.warn(s.located(ep, repositorySegments(name, "tags"), &Error{Err: fmt.Errorf("skipped: %w", err)}))
		}
	}
	return tags
}

// tagsOf reads the list of tags. If the answer is only one page of it, tagsOf returns
// that part and an error.
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

// whole fails if a Link header leads to another page: the protocol has no pages, so
// the server has not sent the whole list.
func whole(header http.Header) error {
	next, err := weblink.Next(header)
	if err == nil && next != nil {
		err = fmt.Errorf("this is one page of the list of tags, which continues at %.200q; lists of Registry v1 have no pages", next.Target)
	}
	return err
}

// parseTags parses the list of tags. A value that is not a string becomes an empty
// id: only the requested tag matters.
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
