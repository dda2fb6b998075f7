// Package pemfile reads PEM as people, programs and mail leave it, and drops nothing
// silently. [encoding/pem] skips what it cannot read: it takes a bundle that is
// truncated, or that begins with a byte order mark, for a smaller bundle.
package pemfile

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Block is the content between a BEGIN line and its END line.
type Block struct {
	// Label is the text after BEGIN, such as CERTIFICATE.
	Label string
	// Headers are the headers of RFC 1421.
	Headers map[string]string
	// Bytes are the decoded content of the block.
	Bytes []byte
	// Line is the line of BEGIN, counted from one.
	Line int
	// Raw is the text of a block that cannot be read, as in the file.
	Raw []byte
	// Err says why the block cannot be read, and in which line. Label is then what can
	// be recognised of it, and may be empty.
	Err error
}

const (
	hyphens = "-----"
	begin   = "-----BEGIN "
	end     = "-----END "
)

// Scan returns the blocks of a file, including those that cannot be read.
//
// It accepts what OpenSSL accepts: any line ends, trailing blanks, a byte order mark,
// text before, between and after the blocks. It also accepts what is unambiguous:
// indented lines, and missing line breaks before or after a BEGIN or END. It takes time
// linear in the size of the file.
func Scan(data []byte) []Block {
	s := scanner{data: data, rest: data}
	for s.next() {
		s.outside(s.text)
	}
	return s.blocks
}

// scanner goes through a file line by line.
type scanner struct {
	data, rest []byte
	// start is the offset of the line that was read last.
	start int
	// text is the line that was read last without surrounding blanks, line its number,
	// and last reports whether nothing follows it, not even a line break.
	text   string
	line   int
	last   bool
	blocks []Block
}

// next reads a line with any kind of line end.
func (s *scanner) next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.line++
	s.start = len(s.data) - len(s.rest)
	i := bytes.IndexAny(s.rest, "\r\n")
	s.last = i < 0
	line := s.rest
	if s.last {
		s.rest = nil
	} else {
		line = s.rest[:i]
		if s.rest[i] == '\r' && i+1 < len(s.rest) && s.rest[i+1] == '\n' {
			i++
		}
		s.rest = s.rest[i+1:]
	}
	s.text = strings.TrimFunc(string(line), isBlank)
	return true
}

// isBlank reports whether to ignore a character at either end of a line: blanks,
// control characters, byte order marks.
func isBlank(r rune) bool {
	return r <= ' ' || unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b'
}

// outside scans text outside of blocks.
func (s *scanner) outside(text string) {
	for text != "" {
		switch label, rest, ok := boundary(text, begin); {
		case ok:
			text = s.block(label, rest)
			continue
		case isBoundary(text, end):
			label, _, _ := boundary(text, end)
			s.bad(label, s.line, s.start, "END %s without a BEGIN before it", label)
		case isQuoted(text):
			s.bad("", s.line, s.start, "%.40q stands in front of BEGIN or END in its line", text[:strings.Index(text, hyphens)])
		case isMangled(text) || s.last && strings.HasPrefix(begin, text):
			s.bad("", s.line, s.start, "%.40q is meant for a BEGIN or END line, but is not one", text)
		}
		return
	}
}

// block reads a block that begins in the current line, in which rest follows BEGIN. It
// returns what follows the block in its last line.
func (s *scanner) block(label, rest string) string {
	b := Block{Label: label, Line: s.line}
	start := s.start
	var encoded strings.Builder
	text := rest
	if text == "" {
		var more bool
		if text, more = s.headers(&b); !more {
			s.bad(label, b.Line, start, "BEGIN %s without an END: the file is cut", label)
			return ""
		}
	}
	for {
		line, tail := text, ""
		i := strings.Index(text, hyphens)
		if i >= 0 {
			line, tail = text[:i], text[i:]
		}
		if b.Err == nil {
			if c := strings.IndexFunc(line, notBase64); c >= 0 {
				b.Err = fmt.Errorf("line %d: %s", s.line, strange(line[c:]))
			}
		}
		encoded.WriteString(line)
		switch {
		case i < 0:
		case isBoundary(tail, end):
			other, after, _ := boundary(tail, end)
			if other != label {
				s.bad(label, b.Line, start, "BEGIN %s, and END %s at line %d", label, other, s.line)
				return after
			}
			s.add(b, start, encoded.String())
			return after
		case isBoundary(tail, begin):
			s.bad(label, b.Line, start, "BEGIN %s without an END before the next BEGIN at line %d", label, s.line)
			return tail
		case b.Err == nil:
			b.Err = fmt.Errorf("line %d: %.40q is meant for an END line, but is not one", s.line, tail)
		}
		if !s.next() {
			if b.Err == nil {
				b.Err = fmt.Errorf("line %d: BEGIN %s without an END: the file is cut", b.Line, label)
			}
			s.failed(b, start)
			return ""
		}
		text = s.text
	}
}

// headers reads the headers of a block, and returns the first line after them.
func (s *scanner) headers(b *Block) (text string, more bool) {
	for s.next() {
		key, value, is := strings.Cut(s.text, ":")
		switch {
		case is && !strings.HasPrefix(s.text, "-"):
			if b.Headers == nil {
				b.Headers = map[string]string{}
			}
			b.Headers[strings.TrimSpace(key)] = strings.TrimSpace(value)
		case s.text != "":
			return s.text, true
		}
	}
	return "", false
}

func (s *scanner) add(b Block, start int, encoded string) {
	if b.Err == nil {
		encoded = strings.Map(withoutBlanks, encoded)
		der, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case err != nil:
			b.Err = fmt.Errorf("line %d: what BEGIN %s begins is damaged: its base64 is incomplete", b.Line, b.Label)
		case len(der) == 0:
			b.Err = fmt.Errorf("line %d: BEGIN %s with nothing in it", b.Line, b.Label)
		default:
			b.Bytes = der
		}
	}
	if b.Err != nil {
		s.failed(b, start)
		return
	}
	s.blocks = append(s.blocks, b)
}

// bad adds a block that cannot be read and begins at start.
func (s *scanner) bad(label string, line, start int, format string, args ...any) {
	err := fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	s.failed(Block{Label: label, Line: line, Err: err}, start)
}

func (s *scanner) failed(b Block, start int) {
	b.Raw = s.data[start : len(s.data)-len(s.rest)]
	s.blocks = append(s.blocks, b)
}

// strange describes what is wrong with text that is not base64.
func strange(text string) string {
	if strings.HasPrefix(text, `\n`) || strings.HasPrefix(text, `\r`) {
		return "the two characters " + text[:2] + " stand where a line break should be"
	}
	r, _ := utf8.DecodeRuneInString(text)
	return fmt.Sprintf("%q in it is not base64", r)
}

func notBase64(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '/' && r != '=' && !isBlank(r)
}

func withoutBlanks(r rune) rune {
	if isBlank(r) {
		return -1
	}
	return r
}

// boundary parses a BEGIN or END line into its label and what follows in the line.
func boundary(text, kind string) (label, rest string, ok bool) {
	text, ok = strings.CutPrefix(text, kind)
	if !ok {
		return "", "", false
	}
	label, rest, ok = strings.Cut(text, hyphens)
	if !ok || label == "" || strings.ContainsAny(label, "-:=") {
		return "", "", false
	}
	return label, strings.TrimFunc(rest, isBlank), true
}

func isBoundary(text, kind string) bool {
	_, _, ok := boundary(text, kind)
	return ok
}

// isQuoted reports whether a complete BEGIN or END line follows other text, as in
// quoted mail and YAML lists. Commented-out lines do not count.
func isQuoted(text string) bool {
	i := strings.Index(text, hyphens)
	if i <= 0 || strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") || strings.HasPrefix(text, "//") || strings.HasPrefix(text, "--") {
		return false
	}
	rest := text[i:]
	return isBoundary(rest, begin) || isBoundary(rest, end)
}

// isMangled reports whether a line was probably meant as a boundary: it is truncated,
// has too few hyphens, or dashes from a word processor.
func isMangled(text string) bool {
	word := strings.TrimLeftFunc(text, func(r rune) bool { return unicode.Is(unicode.Pd, r) || r == ' ' })
	if len(word) == len(text) && !strings.HasSuffix(text, hyphens) {
		return false
	}
	word = strings.ToUpper(word)
	return strings.HasPrefix(word, "BEGIN ") || strings.HasPrefix(word, "END ") || word == "BEGIN" || word == "END"
}
