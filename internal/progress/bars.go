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

// draw replaces the bars on the terminal by what they are now.
func (r *Reporter) draw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	width, height := r.size()
	var text strings.Builder
	text.WriteString(r.wipe())
	for at, i := range r.active {
		// Lines above the terminal's first one could not be wiped any more.
		if left := len(r.active) - at; at >= height-2 && left > 1 {
			fmt.Fprintf(&text, "and %d more\n", left)
			r.drawn++
			break
		}
		text.WriteString(bar(i, width) + "\n")
		r.drawn++
	}
	if text.Len() > 0 {
		_, _ = io.WriteString(r.out, text.String())
	}
}

// wipe is what takes the bars off the terminal: up a line and clear it, once
// per line.
func (r *Reporter) wipe() string {
	text := strings.Repeat("\x1b[1A\x1b[2K\r", r.drawn)
	r.drawn = 0
	return text
}

// barWidth is that of a bar where there is room for it.
const barWidth = 30

// bar draws a part on its way, on one line of at most width-1 cells: in the last
// one some terminals wrap.
func bar(i Item, width int) string {
	amount := progress.Bytes(i.Offset).String()
	if i.Total > 0 {
		amount += " / " + progress.Bytes(i.Total).String()
	}
	text := printable(i.Name) + "  " + amount
	if i.Action != "" {
		text += "  " + printable(i.Action)
	}
	if i.Total > 0 && utf8.RuneCountInString(text)+barWidth+5 < width {
		filled := int(min(i.Offset, i.Total) * (barWidth - 1) / i.Total)
		name := printable(i.Name)
		text = name + "  [" + strings.Repeat("=", filled) + ">" + strings.Repeat(" ", barWidth-1-filled) + "]" +
			strings.TrimPrefix(text, name)
	}
	if runes := []rune(text); len(runes) >= width {
		text = string(runes[:max(width-1, 0)])
	}
	return text
}
