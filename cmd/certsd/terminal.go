package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// isTerminal tells whether somebody reads what is written to w as it comes.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
