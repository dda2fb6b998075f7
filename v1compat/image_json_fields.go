package v1compat

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object whose fields are decoded separately, so that a value of the
// wrong type loses only that field. Nothing can be assumed about these documents:
// several programs and many people wrote them.
type object map[string]json.RawMessage

// get returns a field's value. Docker decoded regardless of case, so get falls back
// to the first other spelling in sorted order.
func (o object) get(name string) json.RawMessage {
	if raw, ok := o[name]; ok {
		return raw
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if strings.EqualFold(key, name) {
			return o[key]
		}
	}
	return nil
}

// object returns a field that is itself an object, or nil.
func (o object) object(name string) object {
	var inner object
	if json.Unmarshal(o.get(name), &inner) != nil {
		return nil
	}
	return inner
}

// text returns a string, or a number as written.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// words returns a list of strings; a single string counts as a list of one, as in
// Docker's strslice.
func words(raw json.RawMessage) []string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] == 'n' {
		return nil
	}
	if raw[0] != '[' {
		if s := text(raw); s != "" {
			return []string{s}
		}
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil
	}
	var list []string
	for _, item := range items {
		var s string
		if json.Unmarshal(item, &s) == nil && string(item) != "null" {
			list = append(list, s)
		} else if n := text(item); n != "" {
			list = append(list, n)
		}
	}
	return list
}

// members returns a set, given as the keys of an object or as a list.
func members(raw json.RawMessage) map[string]struct{} {
	var keys []string
	var o object
	switch {
	case json.Unmarshal(raw, &o) == nil:
		keys = slices.Collect(maps.Keys(o))
	case bytes.HasPrefix(bytes.TrimSpace(raw), []byte{'['}):
		keys = words(raw)
	}
	set := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		if key != "" {
			set[key] = struct{}{}
		}
	}
	return set
}

// pairs returns a map of strings to strings.
func pairs(raw json.RawMessage) map[string]string {
	var o object
	if json.Unmarshal(raw, &o) != nil || len(o) == 0 {
		return nil
	}
	m := make(map[string]string, len(o))
	for key, value := range o {
		m[key] = text(value)
	}
	return m
}
