package hostdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Limits of one host directory. maxFiles counts the files whose names make them
// candidates, whatever they contain; maxBytes counts only the files that are read.
const (
	maxFiles = 1 << 16
	maxBytes = 64 << 20
)

// errTooMuch reports that a directory exceeds maxBytes.
var errTooMuch = errors.New("is not read: the directory holds too much")

// tooMany reports whether a directory holds more than maxFiles files.
func (l *loader) tooMany(names []string) bool {
	n := 0
	for _, name := range names {
		if slices.Contains([]string{".crt", ".cert", ".key"}, filepath.Ext(name)) {
			n++
		}
	}
	if n > maxFiles {
		l.refuse(fmt.Errorf("holds %d certificates and keys, and no more than %d are read", n, maxFiles))
	}
	return n > maxFiles
}

// count adds a file to the total read, and fails once the total exceeds maxBytes.
func (l *loader) count(name string, size int) error {
	if path := l.path(name); !l.counted[path] {
		l.counted[path] = true
		l.bytes += size
	}
	return l.enough()
}

// enough returns an error once the total read exceeds maxBytes.
func (l *loader) enough() error {
	if l.bytes > maxBytes {
		return errTooMuch
	}
	return nil
}

// refuse discards the whole directory: using only part of it would be a configuration
// that nobody wrote.
func (l *loader) refuse(err error) {
	l.dir.says, l.dir.config, l.dir.CAs, l.dir.Identities = true, nil, nil, nil
	l.dir.Problems = []*Problem{{Severity: Failure, Code: DirectoryTooLarge, File: l.dir.Path, Err: err}}
}

// maxTold is the number of failures that a text lists one by one.
const maxTold = 20

// several is a list of failures whose text has a readable length.
type several []error

func (s several) Error() string {
	texts := make([]string, 0, maxTold+1)
	for _, err := range s[:min(len(s), maxTold)] {
		texts = append(texts, err.Error())
	}
	if len(s) > maxTold {
		texts = append(texts, fmt.Sprintf("and %d more", len(s)-maxTold))
	}
	return strings.Join(texts, "\n")
}

func (s several) Unwrap() []error { return s }
