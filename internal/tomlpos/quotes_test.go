package tomlpos

import (
	"errors"
	"testing"
)

// Quotes that an editor or a web page made typographic are named as that.
func TestTypographicQuotes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a = 1\nserver = “https://reg.test”\n":    "“ is a typographic quote: write \" in its place",
		"“server” = 'x'\n":                        "“ is a typographic quote: write \" in its place",
		"[host.„https://reg.test“]\n":             "„ is a typographic quote: write \" in its place",
		"client = ['a', ‘b’]\n":                   "‘ is a typographic quote: write \" in its place",
		"server = \"https://reg.test”\n":          "” is a typographic quote: write \" in its place",
		"server = 'https://reg.test’\n":           "’ is a typographic quote: write \" in its place",
		"server = »https://reg.test«\n":           "» is a typographic quote: write \" in its place",
		"server = ü\n":                            "unexpected character U+00FC 'ü' at start of value",
		"server = \n":                             "unexpected character U+000A at start of value",
		"server = 'a “quoted” word' x\n":          "expected newline but got U+0078 'x'",
		"server = “https://jo:hush@reg.test”\n":   "“ is a typographic quote: write \" in its place",
		"# “ in a comment\nserver = 'open\na=1\n": "literal strings cannot have new lines",
	} {
		_, err := Parse([]byte(text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Text != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
