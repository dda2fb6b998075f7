// Package paragraph wraps text to a width.
package paragraph

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// Lines wraps text into lines of at most columns characters: the first line begins with
// first, the others with rest. A word that is too long stays whole, for the reader to
// copy.
func Lines(first, rest, text string, columns int) []string {
	return Words(first, rest, strings.FieldsSeq(text), columns)
}

// Words is [Lines] for words that may contain blanks.
func Words(first, rest string, words iter.Seq[string], columns int) []string {
	var lines []string
	line, empty := first, true
	for word := range words {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > columns {
			lines = append(lines, strings.TrimRight(line, " "))
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return append(lines, strings.TrimRight(line, " "))
}
