package progress

import (
	"io"
	"os"

	"github.com/containerd/console"
)

// ModeFor returns the mode that fits an output: Bars on a terminal, Lines otherwise,
// also on a terminal that can do no more (TERM=dumb).
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

// terminal is out if that is a terminal.
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

// terminalSize is that of an 80 by 24 terminal where nothing better is known.
func terminalSize(out io.Writer) (width, height int) {
	if c := terminal(out); c != nil {
		if size, err := c.Size(); err == nil && size.Width > 0 && size.Height > 0 {
			return int(size.Width), int(size.Height)
		}
	}
	return 80, 24
}
