package progress

import (
	"io"
	"os"

	"github.com/containerd/console"
)

// ModeFor returns the mode for an output: Bars on a terminal, otherwise Lines, also on
// a terminal without control sequences (TERM=dumb).
func ModeFor(out io.Writer, quiet bool) Mode {
	switch {
	case quiet:
		return Quiet
	case os.Getenv("TERM") == "dumb" || terminal(out) == nil:
		return Lines
	default:
		return Bars
	}
}

// terminal returns the terminal that out is, nil if it is none.
func terminal(out io.Writer) console.Console {
	f, ok := out.(console.File)
	if !ok {
		return nil
	}
	c, err := console.ConsoleFromFile(f)
	if err != nil {
		return nil
	}
	return c
}

// terminalSize returns the size of the terminal, 80 by 24 if unknown.
func terminalSize(out io.Writer) (width, height int) {
	if c := terminal(out); c != nil {
		if size, err := c.Size(); err == nil && size.Width > 0 && size.Height > 0 {
			return int(size.Width), int(size.Height)
		}
	}
	return 80, 24
}
