package safetext

import (
	"encoding/json"
	"strings"
)

// Answer returns the message in the body of an error, in one line, without secrets of
// the request that the server repeats.
func Answer(body []byte, contentType string, secrets ...string) string {
	text := fromJSON(body)
	if text == "" {
		text = string(body)
		if strings.Contains(contentType, "html") || strings.HasPrefix(strings.TrimSpace(text), "<") {
			text = fromHTML(text)
		}
	}
	return Line(Hide(text, secrets...), MaxAnswer)
}

// fromJSON returns the message in an error of the OCI distribution specification
// ("Error codes"), of Registry v1 or of common gateways.
func fromJSON(body []byte) string {
	var doc struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Error   any `json:"error"`
		Message any `json:"message"`
		Details any `json:"details"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	var parts []string
	for _, e := range doc.Errors {
		parts = append(parts, strings.Trim(e.Code+": "+e.Message, ": "))
	}
	for _, v := range []any{doc.Error, doc.Message, doc.Details} {
		if s, ok := v.(string); ok && s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "; ")
}

// fromHTML returns the title of a page, or its text without tags.
func fromHTML(page string) string {
	lower := strings.ToLower(page)
	// If lowering changed the length, offsets in lower do not apply to page.
	if start := strings.Index(lower, "<title>"); start >= 0 && len(lower) == len(page) {
		start += len("<title>")
		if end := strings.Index(lower[start:], "<"); end > 0 {
			return page[start : start+end]
		}
	}
	var b strings.Builder
	depth := 0
	for _, r := range page {
		switch {
		case r == '<':
			depth++
		case r == '>' && depth > 0:
			depth--
			b.WriteByte(' ')
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}
