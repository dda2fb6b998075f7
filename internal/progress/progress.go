// Package progress shows people how far the parts of a transfer are: as bars on
// a terminal, as one line per finished part otherwise. progress.go keeps the parts,
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

// Mode is how much is shown, and how.
type Mode int

const (
	// Lines is one line per finished part.
	Lines Mode = iota
	// Bars are lines like these, with bars for the parts on their way below.
	Bars
	// Quiet is nothing.
	Quiet
)

// Item is one observation of a part, such as a layer.
type Item struct {
	// Name tells parts apart and is shown: "layer sha256:4f4fb700ef54". A part
	// that is done may begin again under the same name.
	Name string
	// Action is what is done or has been done, if that is not plain: "already
	// there", "mounted from other/repository".
	Action string
	// Offset counts the bytes that have passed; Total is zero or less while it
	// is unknown.
	Offset, Total int64
	// Done ends the part with a line of its own.
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
	// active are the parts on their way, in the order in which they began.
	active []Item
	// status is the line below them.
	status string
	// drawn counts the lines of bars on the terminal.
	drawn int
}

// interval is how often bars are drawn again.
const interval = 100 * time.Millisecond

// New makes a reporter that writes to out. With Bars, out is a terminal, and the
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

// Update shows what became of a part.
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

// Drop forgets a part that did not come to its end.
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

// Print writes lines to another output, above the bars where that is the same
// terminal. Unlike all else they are written in every mode: they are no progress.
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

// Status shows how far the whole is, in a line below the bars. Without bars it
// shows nothing.
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

// Close removes the bars that are left. What is reported later is not shown,
// but for Printf's lines.
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

// Size returns a number of bytes as people read it.
func Size(n int64) string { return progress.Bytes(n).String() }

// Short returns the beginning of a digest, enough to tell layers apart.
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
