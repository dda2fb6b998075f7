package main

import (
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/certsd/containerd-certsd/internal/paragraph"
)

// isTerminal reports whether somebody reads what is written to w as it comes.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// columnsOf returns the width of the terminal that w is, 0 if it does not tell.
func columnsOf(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// wrap is text in lines of so many columns, of which those below the first are set
// in. Words stay whole, so that they can be copied. With zero it stays one line.
func wrap(text string, columns int) []string {
	if columns <= 0 || utf8.RuneCountInString(text) <= columns {
		return []string{text}
	}
	return paragraph.Lines("", "    ", text, columns)
}
