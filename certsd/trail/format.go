package trail

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// String returns the account in several lines: for each server its directory, then each
// identity with its outcome, and the next steps. It is empty if nothing was tried.
func (t *Trail) String() string {
	text := Format(t.Attempts())
	if n := t.Dropped(); n > 0 {
		text += fmt.Sprintf("(%d earlier attempts are not shown)\n", n)
	}
	return text
}

// Format formats attempts as [Trail.String] does. The lines of a server are together,
// in the order in which the servers were first asked.
func Format(attempts []Attempt) string {
	type server struct{ host, dir string }
	var servers []server
	lines := map[server][]line{}
	for _, a := range attempts {
		s := server{a.Host, a.Dir}
		if !slices.Contains(servers, s) {
			servers = append(servers, s)
		}
		lines[s] = appendLine(lines[s], line{who: a.Who(), what: a.what(), hints: a.hints()})
	}
	var b strings.Builder
	for _, s := range servers {
		b.WriteString(s.host)
		if s.dir == "" {
			b.WriteString(" (no directory)\n")
		} else {
			fmt.Fprintf(&b, " (%s)\n", s.dir)
		}
		for _, l := range lines[s] {
			fmt.Fprintf(&b, "  %s: %s", l.who, l.what)
			if l.times > 1 {
				fmt.Fprintf(&b, " (%d times)", l.times)
			}
			b.WriteByte('\n')
		}
		for _, hint := range hintsOf(lines[s]) {
			fmt.Fprintf(&b, "  -> %s\n", hint)
		}
	}
	return b.String()
}

// line is the result for one identity, and how often it occurred.
type line struct {
	who, what string
	hints     []string
	times     int
}

func appendLine(lines []line, l line) []line {
	for i := range lines {
		if lines[i].who == l.who && lines[i].what == l.what {
			lines[i].times++
			lines[i].hints = append(lines[i].hints, l.hints...)
			return lines
		}
	}
	l.times = 1
	return append(lines, l)
}

// hintsOf returns the different hints of some lines.
func hintsOf(lines []line) []string {
	var hints []string
	for _, l := range lines {
		for _, hint := range l.hints {
			if !slices.Contains(hints, hint) {
				hints = append(hints, hint)
			}
		}
	}
	return hints
}

// Faults returns the problems on this machine in some attempts, each once: they should
// be fixed before asking anybody else for help.
func Faults(attempts []Attempt) []*hostdir.Problem {
	var faults []*hostdir.Problem
	for _, a := range attempts {
		for _, p := range a.Faults {
			if !slices.ContainsFunc(faults, func(q *hostdir.Problem) bool { return q.Error() == p.Error() }) {
				faults = append(faults, p)
			}
		}
	}
	return faults
}

// hints returns the next steps, those on this machine first.
func (a Attempt) hints() []string {
	var hints []string
	for _, p := range a.Faults {
		if next := p.Next(); next != "" {
			hints = append(hints, p.Where()+": "+next)
		}
	}
	if a.Hint != "" {
		hints = append(hints, a.Hint)
	}
	return hints
}
