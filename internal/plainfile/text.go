package plainfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// mark is the byte order mark that editors on Windows put at the start of UTF-8 text.
// It has no meaning.
var mark = []byte("\xef\xbb\xbf")

// EncodingError reports that a text is not in UTF-8, the only encoding accepted here.
type EncodingError struct {
	// Name is iconv's name for the encoding, Path the file.
	Name, Path string
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("is text in %s, not in UTF-8: %s", e.Name, e.Told())
}

// Told returns what to do as the end of the text: see package nextstep.
func (e *EncodingError) Told() string { return "convert it with " + e.Command() }

// Next returns what to do.
func (e *EncodingError) Next() string { return "convert it: " + e.Command() }

// HasMark reports whether text begins with a UTF-8 byte order mark, which some programs
// do not accept.
func HasMark(data []byte) bool { return bytes.HasPrefix(data, mark) }

// WithoutMark returns the command that removes the mark from a file.
func WithoutMark(path string) string { return `sed -i '1s/^\xef\xbb\xbf//' ` + Quote(path) }

// Command returns the command that converts the file to UTF-8.
func (e *EncodingError) Command() string {
	file := Quote(e.Path)
	return fmt.Sprintf("iconv -f %s -t UTF-8 %s >%s && mv %s %s", e.Name, file, Quote(e.Path+".new"), Quote(e.Path+".new"), file)
}

// Text returns the content of a file without a byte order mark; path appears in errors.
// Text in UTF-16 or UTF-32, which editors and shells on Windows write, is an
// [EncodingError].
func Text(path string, data []byte) ([]byte, error) {
	if name := Encoding(data); name != "" {
		return nil, &EncodingError{name, path}
	}
	return bytes.TrimPrefix(data, mark), nil
}

// ReadText is [Read] for a text file: see [Text].
func ReadText(path string) ([]byte, error) {
	data, err := Read(path)
	if err != nil {
		return nil, err
	}
	if data, err = Text(path, data); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, nil
}

// Encoding returns the name of the encoding of a file's text, empty unless it is
// recognisably not UTF-8.
func Encoding(data []byte) string {
	// Check the longer marks first: they begin like the shorter ones.
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(data, []byte{0, 0, 0xfe, 0xff}):
		return "UTF-32"
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "UTF-16"
	}
	return withoutMark(data)
}

// unmarked lists encodings by which of four bytes are zero in ASCII text.
var unmarked = []struct{ name, zeros string }{
	{"UTF-32LE", "a000"}, {"UTF-32BE", "000a"}, {"UTF-16LE", "a0a0"}, {"UTF-16BE", "0a0a"},
}

// withoutMark recognises an encoding by the positions of zeros at the beginning. It
// tolerates a few characters outside ASCII.
func withoutMark(data []byte) string {
	start := data[:min(len(data), 256)&^3]
	var zeros, printed [4]int
	for i, b := range start {
		switch {
		case b == 0:
			zeros[i%4]++
		case b >= ' ' && b < 0x7f || b == '\n' || b == '\r' || b == '\t':
			printed[i%4]++
		}
	}
	for _, encoding := range unmarked {
		fits := len(start) > 0
		for at, want := range encoding.zeros {
			n := zeros[at]
			if want == 'a' {
				n = printed[at]
			}
			fits = fits && n*4*4 >= len(start)*3
		}
		if fits {
			return encoding.name
		}
	}
	return ""
}

// Rename returns the command that renames a file within its directory, unless a file of
// that name exists.
func Rename(path, name string) string {
	return "mv -n " + Quote(path) + " " + Quote(filepath.Join(filepath.Dir(path), name))
}

// plainWord matches a word that needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// Quote returns a file's name as a word of a shell command.
func Quote(path string) string {
	if plainWord.MatchString(path) && !strings.HasPrefix(path, "-") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
