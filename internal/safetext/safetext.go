// Package safetext makes text from outside safe to show: a server's words may contain
// escapes that a terminal obeys, characters that reverse the writing direction, and the
// secrets that it was sent. Everything that is printed, logged or passed on to a client
// goes through here.
//
// [Line] and [Text] deal with control characters, [Hide] with secrets, [JSON] with both
// in a document, and [URL] and [Address] with addresses.
//
// Read safetext.go first, for lines and texts. hide.go finds secrets in them and in
// JSON, address.go users and passwords in URLs. answer.go extracts the message in the
// body of an error; inert.go makes a JSON document safe without changing it.
package safetext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits for text from outside, in characters.
const (
	// MaxName bounds a name: of a certificate, of a scheme.
	MaxName = 200
	// MaxAnswer bounds the message in an answer.
	MaxAnswer = 200
	// MaxURL bounds a URL, and an error that quotes others.
	MaxURL = 500
)

// Line returns text fit for one line: characters that do not print become blanks,
// several blanks become one, and at most limit characters are kept; zero means no
// limit. Format characters, which may reverse the writing direction, do not print.
func Line(text string, limit int) string {
	if isLine(text, limit) {
		return text
	}
	var b strings.Builder
	n, blank := 0, false
	for _, r := range text {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || r == utf8.RuneError {
			blank = n > 0
			continue
		}
		if blank {
			n++
		}
		if limit > 0 && n >= limit {
			return b.String() + "…"
		}
		if blank {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
		n, blank = n+1, false
	}
	return b.String()
}

// Clip truncates text to at most that many bytes, without cutting a character.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// isLine reports whether Line would leave text as it is; it recognises only ASCII.
func isLine(text string, limit int) bool {
	if limit > 0 && len(text) > limit || strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || strings.Contains(text, "  ") {
		return false
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// Text returns text of several lines that is safe to print: line breaks, tabs and
// blanks stay, every other character that does not print becomes a question mark.
func Text(text string) string {
	if isText(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, text)
}

func isText(text string) bool {
	for i := range len(text) {
		if c := text[i]; (c < ' ' || c > '~') && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}
