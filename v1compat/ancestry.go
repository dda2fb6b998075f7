package v1compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// imageReader reads an image's history: its tag, ancestry and JSONs.
type imageReader struct{ *session }

// image reads everything except the layers from one endpoint.
func (s imageReader) image(ctx context.Context, ep endpoint, tag string) (*Image, error) {
	id, err := tagReader(s).resolve(ctx, ep, tag)
	if err != nil {
		return nil, err
	}
	ids, err := s.ancestry(ctx, ep, id)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(ids))
	budget := newBudget(s.c.Limits.imageJSON())
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4) // small documents: round trips dominate
	for i, id := range ids {
		parent := ""
		if i+1 < len(ids) {
			parent = ids[i+1]
		}
		group.Go(func() (err error) {
			entries[i], err = s.entry(gctx, ep, id, parent, budget)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.Reverse(entries) // the ancestry lists the image itself first
	return &Image{Registry: s.c.Host, Repository: s.repository, Entries: entries}, nil
}

// ancestry lists the ids of the image and its ancestors, the image first.
func (s imageReader) ancestry(ctx context.Context, ep endpoint, id string) ([]string, error) {
	segments := []string{"images", id, "ancestry"}
	body, _, err := s.document(ctx, ep, s.c.Limits.document(), segments...)
	if err != nil {
		return nil, err
	}
	ids, err := parseAncestry(body, id, s.c.Limits.ancestry())
	if err != nil {
		return nil, s.located(ep, segments, &Error{Err: &UnusableError{err}})
	}
	return ids, nil
}

// parseAncestry reads a list of at most longest ids that begins with id. It refuses
// duplicates: a cycle of parents once made docker2aci loop forever.
func parseAncestry(body []byte, id string, longest int) ([]string, error) {
	var ids []string
	if err := json.Unmarshal(body, &ids); err != nil {
		return nil, errors.New("the ancestry is not a JSON list of ids")
	}
	if len(ids) == 0 || len(ids) > longest {
		return nil, fmt.Errorf("the ancestry has %d images: between 1 and %d are possible", len(ids), longest)
	}
	seen := make(map[string]bool, len(ids))
	for _, other := range ids {
		if err := validID(other); err != nil {
			return nil, fmt.Errorf("ancestry: %w", err)
		}
		if seen[other] {
			return nil, fmt.Errorf("the ancestry has %s twice", other)
		}
		seen[other] = true
	}
	if ids[0] != id {
		return nil, fmt.Errorf("the ancestry begins with %s, not with the image asked for", ids[0])
	}
	return ids, nil
}

// entry reads one image's JSON; parent is the next id in the ancestry.
func (s imageReader) entry(ctx context.Context, ep endpoint, id, parent string, b *budget) (Entry, error) {
	segments := []string{"images", id, "json"}
	body, header, err := s.document(ctx, ep, s.c.Limits.document(), segments...)
	if err == nil {
		if err = checkJSON(body, id, parent); err == nil {
			err = b.take(len(body))
		}
		if err != nil {
			err = s.located(ep, segments, &Error{Err: &UnusableError{err}})
		}
	}
	if err != nil {
		return Entry{}, err
	}
	e := Entry{ID: id, JSON: body, Checksums: checksums(header), Size: announced(header)}
	l := &layer{s: s.session, id: id, size: e.Size}
	e.Open, e.Measure = l.open, l.measure
	return e, nil
}

// checkJSON checks an image's JSON against the ancestry that lists it. Its id and
// parent may be missing, as in hand-made trees, but must not differ.
func checkJSON(body []byte, id, parent string) error {
	var j struct {
		ID     string `json:"id"`
		Parent string `json:"parent"`
	}
	if err := json.Unmarshal(body, &j); err != nil {
		return errors.New("the image's JSON cannot be read: it is not an object, or its id or parent is not a string")
	}
	if j.ID != "" && j.ID != id {
		return fmt.Errorf("the image's JSON has the id %q", clip(j.ID))
	}
	if j.Parent != "" && j.Parent != parent {
		return fmt.Errorf("the image's JSON has the parent %q, the ancestry %q", clip(j.Parent), parent)
	}
	return nil
}

// announced returns the value of X-Docker-Size, or -1 if it is missing or malformed.
func announced(h http.Header) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-Docker-Size")), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// checksums returns the values of the checksum header. Each version of the Python
// registry names it differently and sends one line per value.
func checksums(h http.Header) []string {
	const most, longest = 16, 256
	var list []string
	for _, name := range []string{
		"X-Docker-Checksum-Payload", // 0.9
		"X-Docker-Payload-Checksum", // 0.7, 0.8
		"X-Docker-Checksum",         // 0.6: what the client pushed
	} {
		for _, line := range h.Values(name) {
			for value := range strings.SplitSeq(line, ",") {
				value = strings.TrimSpace(value)
				if value != "" && len(value) <= longest && len(list) < most && !slices.Contains(list, value) {
					list = append(list, value)
				}
			}
		}
	}
	return list
}
