// Package paragraph wraps text to lines of a width.
package paragraph

import (
	"iter"
	"strings"
	"unicode/utf8"
)

// Lines is text behind first, and what has no room in the line below it, behind
// rest. A word that is longer than a line stays whole, so that it can be copied.
func Lines(first, rest, text string, columns int) []string {
	return Words(first, rest, strings.FieldsSeq(text), columns)
}

// Words is [Lines] of words, some of which may have blanks in them.
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
