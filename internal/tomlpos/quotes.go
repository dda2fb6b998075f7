package tomlpos

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
)

// typographic are quotes that editors and web pages substitute for " and '.
const typographic = "“”„‟‘’‚‛«»‹›″′＂＇"

var (
	// badByte matches the end of a message about the first byte of a character outside
	// of ASCII, which go-toml shows as if it were the whole character.
	badByte = regexp.MustCompile(`U\+00[89A-F][0-9A-F] '.+'`)
	// unclosed matches messages about a string that does not end in its line.
	unclosed = regexp.MustCompile(`^(basic|literal) strings cannot have new lines`)
	// quoted matches the offending line in the text of a go-toml error.
	quoted = regexp.MustCompile(`^ *\d+\| (.*)$`)
)

// spelled returns the text of a syntax error with the character at the column of its
// line, saying so if it is a typographic quote.
func spelled(text, line string, column int) string {
	quote := ""
	switch at := column - 1; {
	case badByte.MatchString(text) && at >= 0 && at < len(line):
		char, _ := utf8.DecodeRuneInString(line[at:])
		if !strings.ContainsRune(typographic, char) {
			return badByte.ReplaceAllLiteralString(text, fmt.Sprintf("%U %q", char, char))
		}
		quote = string(char)
	case unclosed.MatchString(text):
		if at := strings.LastIndexAny(line, typographic); at >= 0 {
			char, _ := utf8.DecodeRuneInString(line[at:])
			quote = string(char)
		}
	}
	if quote == "" {
		return text
	}
	return quote + ` is a typographic quote: write " in its place`
}

// lineOf returns the line that an error shows as its place, empty for none.
func lineOf(err *toml.DecodeError) string {
	line := ""
	for l := range strings.Lines(err.String()) {
		l = strings.TrimRight(l, "\n")
		if strings.Contains(l, "| ") && strings.HasPrefix(strings.TrimSpace(strings.SplitN(l, "|", 2)[1]), "~") {
			return line
		}
		if m := quoted.FindStringSubmatch(l); m != nil {
			line = m[1]
		}
	}
	return line
}
