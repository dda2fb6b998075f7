package safetext

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

const (
	// Removed replaces a secret.
	Removed = "[removed]"
	// minSecret is the minimum length of a secret that is removed everywhere. A shorter
	// one is removed only as a whole word: removing every "a" would leave nothing
	// readable.
	minSecret = 8
)

// Hide removes secrets from text, in the forms in which servers repeat them: verbatim,
// escaped as in a URL, in JSON or in HTML, and in base64. It cannot find a form that a
// server invents to evade it: such a server has the secret, and could show it
// elsewhere.
func Hide(text string, secrets ...string) string {
	if text == "" {
		return text
	}
	for _, form := range forms(secrets) {
		if len(form) >= minSecret {
			text = strings.ReplaceAll(text, form, Removed)
		} else {
			text = replaceWord(text, form)
		}
	}
	return text
}

// forms returns the forms of secrets, long ones first, because one may contain another.
func forms(secrets []string) []string {
	var all []string
	for _, secret := range secrets {
		if len(secret) < 2 {
			continue
		}
		all = append(all, secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
			base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)))
		if quoted, err := json.Marshal(secret); err == nil {
			all = append(all, string(quoted[1:len(quoted)-1]))
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(all)
}

// replaceWord removes a word where no letter or digit is next to it.
func replaceWord(text, word string) string {
	var b strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			b.WriteString(text[from:])
			return b.String()
		}
		start, end := from+i, from+i+len(word)
		b.WriteString(text[from:start])
		if start > 0 && isWordByte(text[start-1]) || end < len(text) && isWordByte(text[end]) {
			b.WriteString(word)
		} else {
			b.WriteString(Removed)
		}
		from = end
	}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// JSON returns a document with safe texts: each is a [Line] of at most limit characters
// without the secrets. ok is false if doc is not valid JSON.
func JSON(doc []byte, limit int, secrets ...string) (safe []byte, ok bool) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(string(doc)))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil || decoder.More() {
		return nil, false
	}
	safe, err := json.Marshal(walk(value, func(text string) string { return Line(Hide(text, secrets...), limit) }))
	return safe, err == nil
}

// walk applies change to every text in a decoded document.
func walk(value any, change func(string) string) any {
	switch value := value.(type) {
	case string:
		return change(value)
	case []any:
		for i := range value {
			value[i] = walk(value[i], change)
		}
		return value
	case map[string]any:
		changed := make(map[string]any, len(value))
		for key, v := range value {
			changed[change(key)] = walk(v, change)
		}
		return changed
	default:
		return value
	}
}
