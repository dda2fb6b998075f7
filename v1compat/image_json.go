package v1compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// document holds the fields of an entry's v1 image JSON that the conversion uses.
type document struct {
	created   *time.Time
	author    string
	comment   string
	createdBy string
	fields    object
}

// readDocuments parses the JSON of every entry and checks it against the history.
func readDocuments(img *Image, most int) ([]*document, error) {
	if n := len(img.Entries); n == 0 || n > most {
		return nil, fmt.Errorf("the image has %d entries: between 1 and %d are possible", n, most)
	}
	docs := make([]*document, len(img.Entries))
	for i := range img.Entries {
		e := &img.Entries[i]
		doc, err := parseDocument(e.JSON)
		if err == nil && e.Digest == "" {
			err = doc.fits(img.Entries, i)
		}
		if err != nil {
			return nil, fmt.Errorf("image JSON of %s: %w", clip(e.ID), err)
		}
		docs[i] = doc
	}
	return docs, nil
}

func parseDocument(body []byte) (*document, error) {
	var fields object
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, errors.New("not a JSON object")
	}
	return &document{
		created:   parseCreated(fields.get("created")),
		author:    text(fields.get("author")),
		comment:   text(fields.get("comment")),
		createdBy: strings.Join(words(fields.object("container_config").get("Cmd")), " "),
		fields:    fields,
	}, nil
}

// fits checks the id and parent in a JSON of the v1 protocol against the history;
// schema 1 names layers by digest, so there ParseSchema1 compares them. Either may be
// missing, as in hand-made trees.
func (d *document) fits(entries []Entry, i int) error {
	if err := validID(entries[i].ID); err != nil {
		return err
	}
	parent := ""
	if i > 0 {
		parent = entries[i-1].ID
	}
	if id := text(d.fields.get("id")); id != "" && id != entries[i].ID {
		return fmt.Errorf("it has the id %q", clip(id))
	}
	if p := text(d.fields.get("parent")); p != "" && p != parent {
		return fmt.Errorf("it has the parent %q, the history %q", clip(p), parent)
	}
	return nil
}

// parseCreated parses a date, including forms that scripts and databases wrote. An
// invalid date, like Docker's "0001-01-01T00:00:00Z", counts as missing: the present
// time would change the digest each time.
func parseCreated(raw json.RawMessage) *time.Time {
	s := strings.TrimSpace(text(raw))
	for _, layout := range []string{
		time.RFC3339Nano,
		"2006-01-02T15:04:05.999999999",           // Python's isoformat
		"2006-01-02T15:04:05.999999999-0700",      // strftime's %z
		"2006-01-02 15:04:05.999999999-07:00",     // SQL
		"2006-01-02 15:04:05.999999999 -0700 MST", // Go's String
		"2006-01-02 15:04:05.999999999",
		"2006-01-02",
	} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if t = t.UTC(); t.Year() < 2 || t.Year() > 9999 {
			return nil // RFC 3339 has four digits
		}
		return &t
	}
	return nil
}
