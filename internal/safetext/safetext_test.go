package safetext

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// evil is what terminals obey, and what turns text around.
const evil = "\x1b]0;title\x07\x1b[31m\u009b31m\u202e\u2066\u200f\x00\x7f"

func TestClip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "abcd": "abcd", "abcde": "abcd…", "abcö": "abc…"} {
		if got := Clip(text, 4); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestLineAndText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, line, multi string
		limit                   int
	}{
		{name: "as it is", text: "plain text", line: "plain text", multi: "plain text"},
		{name: "other scripts", text: "größer 登録", line: "größer 登録", multi: "größer 登録"},
		{name: "escapes", text: "a" + evil + "b", line: "a ]0;title [31m 31m b", multi: "a?]0;title??[31m?31m?????b"},
		{name: "lines", text: " a\r\n\tb ", line: "a b", multi: " a?\n\tb "},
		{name: "no UTF-8", text: "a\x9b31m", line: "a 31m", multi: "a?31m"},
		{name: "limit", text: "abcdef", limit: 3, line: "abc…", multi: "abcdef"},
		{name: "limit of characters", text: "äöüß", limit: 4, line: "äöüß", multi: "äöüß"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Line(tt.text, tt.limit); got != tt.line {
				t.Errorf("line %q, want %q", got, tt.line)
			}
			if got := Text(tt.text); got != tt.multi {
				t.Errorf("text %q, want %q", got, tt.multi)
			}
		})
	}
}

// TestHide sends each kind of secret through each form of an echo.
func TestHide(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"a password": "Pass/word+1 &<\"", "a short password": "pw", "a token": "eyJhbGciOi.J9_x-y", "basic": "am86cHc=", "a signature": "X%2FY=abcdefgh",
	}
	echoes := map[string]func(string) string{
		"as it is":   func(s string) string { return s },
		"in a query": url.QueryEscape,
		"in a path":  url.PathEscape,
		"in JSON":    func(s string) string { b, _ := json.Marshal(s); return string(b) },
		"in base64":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"in HTML":    func(s string) string { return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&#34;").Replace(s) },
	}
	for kind, secret := range secrets {
		for form, echo := range echoes {
			said := "you sent (" + echo(secret) + ")"
			if got := Hide(said, "unrelated", secret); strings.Contains(got, echo(secret)) || !strings.Contains(got, Removed) {
				t.Errorf("%s %s: %q became %q", kind, form, said, got)
			}
		}
	}
	for _, text := range []string{"the pwd of apps", "", "no secret here"} {
		if got := Hide(text, "pw", "a", ""); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	doc := `{"errors":[{"code":"X\u001b[31m","message":"bad token \u0070assword-1","detail":{"n":12345678901234567890,"password-1":null}}]}`
	got, ok := JSON([]byte(doc), 100, "password-1")
	if want := `{"errors":[{"code":"X [31m","detail":{"[removed]":null,"n":12345678901234567890},"message":"bad token [removed]"}]}`; !ok || string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, text := range []string{"", "plain", `{"a":1} x`, `{"a":1}{}`} {
		if got, ok := JSON([]byte(text), 0); ok {
			t.Errorf("%q is a document: %s", text, got)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("a"+evil, "secret-123")
	f.Add(`{"a":"b"}`, "pw")
	f.Fuzz(func(t *testing.T, text, secret string) {
		line := Line(Hide(text, secret), 50)
		for _, r := range line {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", line, r)
			}
		}
		if strings.ContainsFunc(Text(text), func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%q", Text(text))
		}
		if doc, ok := JSON([]byte(text), 0, secret); ok && !json.Valid(doc) {
			t.Errorf("%q became %q", text, doc)
		}
		if len(secret) >= minSecret && !strings.Contains(Removed, secret) && !strings.Contains(secret, Removed) {
			if hidden := Hide(text, secret); strings.Contains(strings.ReplaceAll(hidden, Removed, "\x00"), secret) {
				t.Errorf("%q still has %q: %q", text, secret, hidden)
			}
		}
	})
}
