package plainfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// mark is the byte order mark that editors on Windows begin a file in UTF-8
// with. It means nothing.
var mark = []byte("\xef\xbb\xbf")

// EncodingError reports that a text is not in UTF-8, which is all that anything
// reads here.
type EncodingError struct {
	// Name is the encoding's, as iconv knows it, and Path the file.
	Name, Path string
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("is text in %s, not in UTF-8: %s", e.Name, e.Told())
}

// Told returns what to do, as the text ends: see package nextstep.
func (e *EncodingError) Told() string { return "convert it with " + e.Command() }

// Next returns what to do.
func (e *EncodingError) Next() string { return "convert it: " + e.Command() }

// HasMark reports whether text begins with a byte order mark of UTF-8, which some
// programs stumble over.
func HasMark(data []byte) bool { return bytes.HasPrefix(data, mark) }

// WithoutMark returns the command that takes that mark off a file.
func WithoutMark(path string) string { return `sed -i '1s/^\xef\xbb\xbf//' ` + Quote(path) }

// Command makes UTF-8 of the file.
func (e *EncodingError) Command() string {
	file := Quote(e.Path)
	return fmt.Sprintf("iconv -f %s -t UTF-8 %s >%s && mv %s %s", e.Name, file, Quote(e.Path+".new"), Quote(e.Path+".new"), file)
}

// Text returns the content of a file, which path names in errors, without a byte
// order mark. Text in UTF-16 or UTF-32, as Windows' editors and shells write it,
// is an [EncodingError].
func Text(path string, data []byte) ([]byte, error) {
	if name := Encoding(data); name != "" {
		return nil, &EncodingError{name, path}
	}
	return bytes.TrimPrefix(data, mark), nil
}

// ReadText is [Read] of a file with text: see [Text].
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

// Encoding returns the name of the encoding in which a file has text, empty if that
// is not seen to be another one than UTF-8.
func Encoding(data []byte) string {
	// The longer marks begin as the shorter ones do.
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(data, []byte{0, 0, 0xfe, 0xff}):
		return "UTF-32"
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "UTF-16"
	}
	return withoutMark(data)
}

// unmarked are encodings, by the bytes of four that are zero in ASCII text.
var unmarked = []struct{ name, zeros string }{
	{"UTF-32LE", "a000"}, {"UTF-32BE", "000a"}, {"UTF-16LE", "a0a0"}, {"UTF-16BE", "0a0a"},
}

// withoutMark recognises an encoding by where the beginning has zeros. A few
// characters may be others than those of ASCII.
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

// Rename returns the command that gives a file another name in its directory, where
// there is none of that name.
func Rename(path, name string) string {
	return "mv -n " + Quote(path) + " " + Quote(filepath.Join(filepath.Dir(path), name))
}

// plainWord is a word that a shell takes as it stands.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// Quote writes a file's name as a word of a shell command.
func Quote(path string) string {
	if plainWord.MatchString(path) && !strings.HasPrefix(path, "-") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
