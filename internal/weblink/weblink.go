// Package weblink parses the Link header of RFC 8288, with which registries lead from
// one page of a list to the next.
package weblink

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Link is one link of a header.
type Link struct {
	// Target is the URL as given, relative or not.
	Target string
	// Rel are the relation types in lower case, empty without a rel.
	Rel []string
	// Anchor is the link's context, if given, and Anchored whether it is.
	Anchor   string
	Anchored bool
}

// errForm reports that a header cannot be parsed.
var errForm = errors.New("it does not have the form of RFC 8288")

// Next returns the link to the next part, nil if there is none. Its relation types
// include "next"; some servers send a link without any, which can mean nothing else. A
// header that cannot be parsed is an error: ignoring it would take a part for the
// whole.
func Next(header http.Header) (*Link, error) {
	var next *Link
	for _, line := range header.Values("Link") {
		links, err := Parse(line)
		if err != nil {
			return nil, fmt.Errorf("the header Link: %.200q: %w", line, err)
		}
		for _, l := range links {
			switch {
			case !l.next():
			case next == nil:
				next = &l
			case next.Target != l.Target:
				return nil, fmt.Errorf("the header Link leads to %.200q and to %.200q", next.Target, l.Target)
			}
		}
	}
	return next, nil
}

func (l *Link) next() bool {
	return len(l.Rel) == 0 || slices.Contains(l.Rel, "next")
}

// Parse parses the links in one line. It also accepts a URL without angle brackets,
// which some registries send.
func Parse(line string) ([]Link, error) {
	p := &parser{rest: line}
	if p.skip(", \t"); p.rest == "" {
		return nil, nil
	}
	if p.rest[0] != '<' {
		l, err := p.bare()
		return []Link{l}, err
	}
	var links []Link
	for {
		if p.skip(", \t"); p.rest == "" {
			return links, nil
		}
		l, err := p.link()
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
}

// parser holds the rest of a line.
type parser struct{ rest string }

func (p *parser) skip(set string) { p.rest = strings.TrimLeft(p.rest, set) }

func (p *parser) link() (l Link, err error) {
	target, rest, closed := strings.Cut(p.rest[1:], ">")
	if p.rest[0] != '<' || !closed || strings.ContainsRune(target, '<') {
		return l, errForm
	}
	l.Target, p.rest = strings.TrimSpace(target), rest
	return l, p.parameters(&l)
}

// bare reads a URL without angle brackets, and its parameters.
func (p *parser) bare() (l Link, err error) {
	end := strings.IndexAny(p.rest, "; \t,<>\"")
	if end < 0 {
		end = len(p.rest)
	}
	l.Target, p.rest = p.rest[:end], p.rest[end:]
	if !strings.ContainsAny(l.Target, "/?") {
		return l, errForm
	}
	if err := p.parameters(&l); err != nil {
		return l, err
	}
	if p.skip(", \t"); p.rest != "" {
		return l, errForm
	}
	return l, nil
}

// parameters reads the parameters after the target, up to the comma before the next
// link. If one is repeated, the first counts.
func (p *parser) parameters(l *Link) error {
	hasRel := false
	for {
		p.skip(" \t")
		if p.rest == "" || p.rest[0] == ',' {
			return nil
		}
		if p.rest[0] != ';' {
			return errForm
		}
		p.skip("; \t")
		name, value, err := p.parameter()
		if err != nil {
			return err
		}
		switch {
		case strings.EqualFold(name, "rel") && !hasRel:
			hasRel = true
			l.Rel = strings.Fields(strings.ToLower(value))
		case strings.EqualFold(name, "anchor") && !l.Anchored:
			l.Anchor, l.Anchored = value, true
		}
	}
}

func (p *parser) parameter() (name, value string, err error) {
	end := strings.IndexAny(p.rest, "=;, \t")
	if end < 0 {
		end = len(p.rest)
	}
	name, p.rest = p.rest[:end], p.rest[end:]
	p.skip(" \t")
	if !strings.HasPrefix(p.rest, "=") {
		return name, "", nil
	}
	p.rest = p.rest[1:]
	p.skip(" \t")
	if strings.HasPrefix(p.rest, `"`) {
		value, err = p.quoted()
		return name, value, err
	}
	if end = strings.IndexAny(p.rest, ";, \t"); end < 0 {
		end = len(p.rest)
	}
	value, p.rest = p.rest[:end], p.rest[end:]
	return name, value, nil
}

// quoted reads a quoted-string.
func (p *parser) quoted() (string, error) {
	var value strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return value.String(), nil
		case '\\':
			if i++; i < len(p.rest) {
				value.WriteByte(p.rest[i])
			}
		default:
			value.WriteByte(c)
		}
	}
	return "", errForm
}
