package plainfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// mark is the byte order mark that editors on Windows begin a file in UTF-8
// with. It means nothing.
var mark = []byte("\xef\xbb\xbf")

// EncodingError tells that a text is not in UTF-8, which is all that anything
// reads here.
type EncodingError struct {
	// Name is the encoding's, as iconv knows it, and Path the file.
	Name, Path string
}

func (e *EncodingError) Error() string {
	return fmt.Sprintf("is text in %s, not in UTF-8: convert it with %s", e.Name, e.Command())
}

// Command makes UTF-8 of the file.
func (e *EncodingError) Command() string {
	file := Quote(e.Path)
	return fmt.Sprintf("iconv -f %s -t UTF-8 %s >%s && mv %s %s", e.Name, file, Quote(e.Path+".new"), Quote(e.Path+".new"), file)
}

// Text is the content of a file, which path names in errors, without a byte
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

// Encoding is the name of the encoding in which a file has text, empty if that
// is not seen to be another one than UTF-8.
func Encoding(data []byte) string {
	// The longer marks begin as the shorter ones do.
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(data, []byte{0, 0, 0xfe, 0xff}):
		return "UTF-32"
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}), bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		return "UTF-16"
	}
	// Without a mark: every second byte of the beginning is zero, and the
	// other ones are letters.
	start := data[:min(len(data), 32)&^1]
	if len(start) < 4 {
		return ""
	}
	var little, big int
	for i := 0; i < len(start); i += 2 {
		switch {
		case start[i+1] == 0 && isPrinted(start[i]):
			little++
		case start[i] == 0 && isPrinted(start[i+1]):
			big++
		}
	}
	switch len(start) / 2 {
	case little:
		return "UTF-16LE"
	case big:
		return "UTF-16BE"
	}
	return ""
}

func isPrinted(b byte) bool { return b >= ' ' && b < 0x7f || b == '\n' || b == '\r' || b == '\t' }

// plainWord is a word that a shell takes as it stands.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

// Quote writes a file's name as a word of a shell command.
func Quote(path string) string {
	if plainWord.MatchString(path) && !strings.HasPrefix(path, "-") {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
