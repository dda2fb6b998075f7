package migrate

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// Kind is the subject of a [Note].
type Kind uint8

const (
	// Lost notes what hosts.toml cannot express.
	Lost Kind = iota
	// Left notes what was left unchanged for the user to decide.
	Left
	// Todo notes what remains to be done by hand.
	Todo
	// Hint notes what is good to know about the new tree.
	Hint
)

// String returns a heading for notes of this kind.
func (k Kind) String() string {
	return [...]string{
		"hosts.toml cannot say",
		"left as it is",
		"to be done by hand",
		"good to know",
	}[k]
}

// Note is a message that accompanies the diff and never contains a secret.
type Note struct {
	Kind Kind
	// File is the file or directory it is about, Line the line or zero, and Key the key
	// in TOML's dotted form.
	File string
	Line int
	Key  string
	Text string
}

// String returns the note on one line: FILE:LINE: KEY: TEXT.
func (n Note) String() string {
	return place{n.File, n.Line, n.Key}.String() + ": " + n.Text
}

// place is a position in a configuration.
type place struct {
	file string
	line int
	key  string
}

func (p place) String() string {
	var b strings.Builder
	b.WriteString(p.file)
	if p.line > 0 {
		b.WriteString(":" + strconv.Itoa(p.line))
	}
	if p.key != "" {
		b.WriteString(": " + p.key)
	}
	return b.String()
}

func (p place) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", p, fmt.Errorf(format, args...))
}

// notes collects notes.
type notes struct {
	all []Note
	// denied reports whether a note is about something this user may not read.
	denied bool
}

func (n *notes) add(kind Kind, at place, format string, args ...any) {
	note := Note{Kind: kind, File: at.file, Line: at.line, Key: at.key, Text: fmt.Sprintf(format, args...)}
	for _, arg := range args {
		if err, ok := arg.(error); ok && errors.Is(err, fs.ErrPermission) {
			n.denied = true
		}
	}
	if !slices.Contains(n.all, note) {
		n.all = append(n.all, note)
	}
}
