package progress

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/pkg/progress"
)

// redraw draws the bars until the reporter is closed.
func (r *Reporter) redraw() {
	defer close(r.stopped)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.draw()
		case <-r.stop:
			r.draw()
			return
		}
	}
}

// draw redraws the bars on the terminal in their present state.
func (r *Reporter) draw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	width, height := r.size()
	var text strings.Builder
	text.WriteString(r.wipe())
	if r.status != "" {
		height--
	}
	for at, i := range r.active {
		// Lines that scroll off the terminal could not be wiped any more.
		if left := len(r.active) - at; at >= height-2 && left > 1 {
			fmt.Fprintf(&text, "and %d more\n", left)
			r.drawn++
			break
		}
		text.WriteString(bar(i, width) + "\n")
		r.drawn++
	}
	if r.status != "" {
		line := []rune(printable(r.status))
		text.WriteString(string(line[:min(len(line), max(width-1, 0))]) + "\n")
		r.drawn++
	}
	if text.Len() > 0 {
		_, _ = io.WriteString(r.out, text.String())
	}
}

// wipe returns the sequence that removes the bars from the terminal: for each line,
// move up and clear it.
func (r *Reporter) wipe() string {
	text := strings.Repeat("\x1b[1A\x1b[2K\r", r.drawn)
	r.drawn = 0
	return text
}

// maxBar is the width of a bar if there is room, minBar the least useful one, and
// barFrame the width of the cells around it.
const (
	maxBar   = 30
	minBar   = 8
	barFrame = len("  []")
)

// bar draws an unfinished part, on one line of at most width-1 cells: some terminals
// wrap at the last one.
func bar(i Item, width int) string {
	amount := progress.Bytes(i.Offset).String()
	if i.Total > 0 {
		amount += " / " + progress.Bytes(i.Total).String()
	}
	text := printable(i.Name) + "  " + amount
	if i.Action != "" {
		text += "  " + printable(i.Action)
	}
	size := min(maxBar, width-1-utf8.RuneCountInString(text)-barFrame)
	if i.Total > 0 && size >= minBar {
		filled := int(min(i.Offset, i.Total) * int64(size-1) / i.Total)
		name := printable(i.Name)
		text = name + "  [" + strings.Repeat("=", filled) + ">" + strings.Repeat(" ", size-1-filled) + "]" +
			strings.TrimPrefix(text, name)
	}
	if runes := []rune(text); len(runes) >= width {
		text = string(runes[:max(width-1, 0)])
	}
	return text
}
