package safetext

import (
	"fmt"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// InertJSON returns the same JSON document with escapes for characters that do not
// print: showing it has no side effects.
func InertJSON(doc []byte) []byte {
	for i := range doc {
		if doc[i] >= 0x7f {
			return escaped(doc, i)
		}
	}
	return doc
}

// escaped escapes the characters after the first bytes.
func escaped(doc []byte, first int) []byte {
	inert := append(make([]byte, 0, len(doc)+len(doc)/8), doc[:first]...)
	for rest := doc[first:]; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r < 0x7f || unicode.IsPrint(r):
			inert = append(inert, rest[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			inert = fmt.Appendf(inert, `\u%04x\u%04x`, high, low)
		default:
			inert = fmt.Appendf(inert, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	return inert
}
