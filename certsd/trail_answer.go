package certsd

import (
	"encoding/json"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxAnswerBody is how much of an error's body is looked at: enough for
	// the JSON of a registry, which is of use only if it is whole.
	maxAnswerBody = 8 << 10
	// maxAnswer, maxName and maxURL bound what is shown, in characters.
	maxAnswer = 200
	maxName   = 200
	maxURL    = 500
)

// answerText returns what the body of an error says, in one line. Where the
// server repeats the credentials of the request they are taken out.
func answerText(body []byte, contentType, secret string) string {
	text := fromJSON(body)
	if text == "" {
		text = string(body)
		if strings.Contains(contentType, "html") || strings.HasPrefix(strings.TrimSpace(text), "<") {
			text = fromHTML(text)
		}
	}
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "[removed]")
	}
	return clean(text, maxAnswer)
}

// fromJSON reads the errors of the OCI distribution specification ("Error
// codes") and the forms of Registry v1 and common gateways.
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
	// The lengths differ where lower case has another one: then the offsets
	// of one are of no use in the other.
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

// clean makes text of a server fit for a line of an error: printable, blanks
// put together, of bounded length.
func clean(text string, limit int) string {
	if isClean(text, limit) {
		return text
	}
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError {
			space = n > 0
			continue
		}
		if space {
			n++
		}
		if n >= limit {
			return b.String() + "…"
		}
		if space {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		n, space = n+1, false
	}
	return b.String()
}

// isClean tells that clean has nothing to do, without looking at more than
// ASCII.
func isClean(text string, limit int) bool {
	if len(text) > limit || strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || strings.Contains(text, "  ") {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// secret is the part of the request's Authorization that must not be shown,
// should a server repeat it.
func (rd *round) secret() string {
	value := rd.header.Get("Authorization")
	if _, credentials, ok := strings.Cut(value, " "); ok {
		value = credentials
	}
	if value = strings.TrimSpace(value); len(value) < 8 {
		return ""
	}
	return value
}

// day is a date as it stands in messages.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
