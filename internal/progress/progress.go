// Package progress shows the progress of the parts of a transfer: as bars on a
// terminal, otherwise as one line per finished part. progress.go keeps the parts,
// bars.go draws them, terminal.go chooses between the two.
package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/containerd/containerd/v2/pkg/progress"
)

// Mode says how much is shown, and how.
type Mode int

const (
	// Lines shows one line per finished part.
	Lines Mode = iota
	// Bars shows the same lines, and bars for the unfinished parts below.
	Bars
	// Quiet shows nothing.
	Quiet
)

// Item is one observation of a part, such as a layer.
type Item struct {
	// Name identifies the part and is shown: "layer sha256:4f4fb700ef54". A finished
	// part may begin again under the same name.
	Name string
	// Action says what is or was done, unless it is obvious: "already there", "mounted
	// from other/repository".
	Action string
	// Offset is the number of bytes transferred; Total is zero or less while unknown.
	Offset, Total int64
	// Done finishes the part, with a line of its own.
	Done bool
}

// Reporter shows parts. Its methods may be called concurrently, and on a nil
// Reporter, which shows nothing. Errors of the output are not reported: a
// transfer does not fail because nobody can watch it.
type Reporter struct {
	out  io.Writer
	mode Mode
	size func() (width, height int)

	// stop ends the drawing of bars, which closes stopped.
	stop, stopped chan struct{}

	// mu guards the rest and the output.
	mu     sync.Mutex
	closed bool
	// active are the unfinished parts, in the order in which they began.
	active []Item
	// status is the line below them.
	status string
	// drawn counts the lines of bars on the terminal.
	drawn int
}

// interval is the time between two drawings of the bars.
const interval = 100 * time.Millisecond

// New returns a reporter that writes to out. With Bars, out must be a terminal, and the
// reporter must be closed.
func New(out io.Writer, mode Mode) *Reporter {
	return start(out, mode, func() (int, int) { return terminalSize(out) })
}

func start(out io.Writer, mode Mode, size func() (width, height int)) *Reporter {
	r := &Reporter{out: out, mode: mode, size: size}
	if mode == Bars {
		r.stop, r.stopped = make(chan struct{}), make(chan struct{})
		go r.redraw()
	}
	return r
}

// Update shows the state of a part.
func (r *Reporter) Update(i Item) {
	if r == nil || r.mode == Quiet {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.find(i.Name)
	switch {
	case r.closed:
	case !i.Done && at < 0:
		r.active = append(r.active, i)
	case !i.Done:
		r.active[at] = i
	default:
		if at >= 0 {
			r.active = append(r.active[:at], r.active[at+1:]...)
		}
		r.line(finished(i))
	}
}

// Drop forgets an unfinished part.
func (r *Reporter) Drop(name string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.find(name); at >= 0 {
		r.active = append(r.active[:at], r.active[at+1:]...)
	}
}

// Printf writes a line of its own, above the bars.
func (r *Reporter) Printf(format string, args ...any) {
	if r == nil || r.mode == Quiet {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.line(fmt.Sprintf(format, args...))
}

// Print writes lines to another output, above the bars if that is the same terminal.
// Unlike progress they are written in every mode.
func (r *Reporter) Print(out io.Writer, lines ...string) {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(printable(line) + "\n")
	}
	if r == nil {
		_, _ = io.WriteString(out, text.String())
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if wiped := r.wipe(); wiped != "" {
		_, _ = io.WriteString(r.out, wiped)
	}
	_, _ = io.WriteString(out, text.String())
}

// Status shows the overall progress in a line below the bars. Without bars it shows
// nothing.
func (r *Reporter) Status(text string) {
	if r == nil || r.mode != Bars {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.status = text
	}
}

// Close removes the remaining bars. Later reports are not shown, except lines of
// Printf.
func (r *Reporter) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	first := !r.closed
	r.closed, r.active, r.status = true, nil, ""
	r.mu.Unlock()
	if r.stop != nil && first {
		close(r.stop)
		<-r.stopped
	}
}

func (r *Reporter) find(name string) int {
	for at, i := range r.active {
		if i.Name == name {
			return at
		}
	}
	return -1
}

// line writes a line that stays.
func (r *Reporter) line(text string) {
	_, _ = io.WriteString(r.out, r.wipe()+printable(text)+"\n")
}

// printable keeps a server's words from moving the cursor.
func printable(text string) string { return strings.ReplaceAll(safetext.Text(text), "\n", "?") }

// finished returns the line of a part that is done.
func finished(i Item) string {
	line := i.Name
	if size := max(i.Offset, i.Total); size > 0 {
		line += fmt.Sprintf("  %9s", progress.Bytes(size))
	}
	if i.Action != "" {
		line += "  " + i.Action
	}
	return line
}

// Size formats a number of bytes.
func Size(n int64) string { return progress.Bytes(n).String() }

// Short returns the beginning of a digest, enough to distinguish layers.
func Short(digest string) string {
	algorithm, encoded, ok := strings.Cut(digest, ":")
	if !ok {
		algorithm, encoded = "", digest
	}
	if len(encoded) > 12 {
		encoded = encoded[:12]
	}
	if !ok {
		return encoded
	}
	return algorithm + ":" + encoded
}
