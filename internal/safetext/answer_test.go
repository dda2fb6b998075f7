package safetext

import (
	"strings"
	"testing"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ body, contentType, secret, want string }{
		"errors of a registry":     {`{"errors":[{"code":"DENIED","message":"no\naccess"},{"code":"UNKNOWN"}]}`, "application/json", "", "DENIED: no access; UNKNOWN"},
		"error of v1":              {`{"error": "Requires authorization"}`, "", "", "Requires authorization"},
		"message":                  {`{"message":"blocked","details":"by policy"}`, "", "", "blocked; by policy"},
		"title of a page":          {"<html>\r\n<head><title>400 The SSL certificate error</title></head>", "text/html", "", "400 The SSL certificate error"},
		"page without a title":     {"<html><body><h1>Go</h1>away</body>", "text/html", "", "Go away"},
		"text":                     {"  no\x00\x1b[31m way\n", "text/plain", "", "no [31m way"},
		"right to left override":   {"a\u202eb", "", "", "a b"},
		"long":                     {strings.Repeat("x", 300), "", "", strings.Repeat("x", 200) + "…"},
		"credentials sent back":    {"bad token abcdefghij here", "", "abcdefghij", "bad token [removed] here"},
		"nothing":                  {"", "", "", ""},
		"lower case has more byte": {"<title>\u0130\u0130</title>", "text/html", "", "\u0130\u0130"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Answer([]byte(row.body), row.contentType, row.secret); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"errors":[{"code":"DENIED","message":"no"}]}`), "application/json")
	f.Add([]byte("<html><title>x</title>"), "text/html")
	f.Add([]byte(strings.Repeat("x", MaxAnswer)+" y"), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		text := Answer(body, contentType, "")
		if n := len([]rune(text)); n > MaxAnswer+1 || strings.ContainsAny(text, "\r\n\t\x00\x1b") {
			t.Errorf("%d characters: %q", n, text)
		}
	})
}
