package check

import (
	"bytes"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/certsd/containerd-certsd/internal/paragraph"
)

const (
	// DefaultColumns is the width of a terminal that does not report its own.
	DefaultColumns = 80
	// minColumns is the least width that text is set in.
	minColumns = 40
	// inset indents the lines that belong to one above.
	inset = "      "
)

// table prints rows in columns. If they are wider than the terminal, the last cell of
// each continues below itself, or below the others.
func (p *printer) table(rows [][]string) {
	if p.aligned(rows) {
		return
	}
	lead := 0
	for _, row := range rows {
		lead = max(lead, utf8.RuneCountInString(row[0]))
	}
	for _, row := range rows {
		last := len(row) - 1
		switch {
		case last == 1 && lead+4+longest(row[1]) <= p.columns && lead <= p.columns/3:
			p.wrapped(fmt.Sprintf("  %-*s  ", lead, row[0]), strings.Repeat(" ", lead+4), row[1])
		case utf8.RuneCountInString(strings.Join(row, "  ")) <= p.columns-2:
			p.printf("  %s\n", strings.Join(row, "  "))
		default:
			if row[0] != "" {
				p.wrapped("  ", inset, strings.Join(row[:last], " "))
			}
			p.wrapped(inset, inset, row[last])
		}
	}
}

// longest returns the length of the longest word.
func longest(text string) int {
	n := 0
	for word := range strings.FieldsSeq(text) {
		n = max(n, utf8.RuneCountInString(word))
	}
	return n
}

// titled prints rows in columns, with the titles in the first row. If they are wider
// than the terminal, each row becomes a paragraph.
func (p *printer) titled(rows [][]string) {
	if p.aligned(rows) {
		return
	}
	width := 0
	for _, title := range rows[0][1:] {
		width = max(width, utf8.RuneCountInString(title))
	}
	for _, row := range rows[1:] {
		if row[0] != "" {
			p.wrapped("  ", inset, row[0])
		}
		for i, cell := range row[1:] {
			if cell != "" {
				p.wrapped(fmt.Sprintf("%s%-*s  ", inset, width, strings.ToLower(rows[0][i+1])), inset+strings.Repeat(" ", width+2), cell)
			}
		}
	}
}

// aligned prints rows in columns if they fit the terminal, and reports whether they do.
func (p *printer) aligned(rows [][]string) bool {
	lines := columns(rows)
	for _, line := range lines {
		if utf8.RuneCountInString(line) > p.columns {
			return false
		}
	}
	for _, line := range lines {
		p.printf("%s\n", line)
	}
	return true
}

// columns formats rows with their cells aligned.
func columns(rows [][]string) []string {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "  %s\n", strings.Join(row, "\t"))
	}
	// Writing to a buffer does not fail.
	_ = w.Flush()
	var lines []string
	for line := range strings.Lines(text.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}

// wrapped prints a paragraph: see [paragraph.Lines].
func (p *printer) wrapped(first, rest, text string) {
	for _, line := range paragraph.Lines(first, rest, text, p.columns) {
		p.printf("%s\n", line)
	}
}

// command finds the command that ends a next step. A step is one text everywhere, from
// the packages that find a problem to --json, whose field is a contract: only this
// printer needs the command in it. Tests run each command that is advised, and set it
// in narrow columns.
var command = regexp.MustCompile(`(?:^|: )((?:certsd|sudo|base64|cat|chmod|cp|docker|gzip|iconv|keytool|ls|mv|openssl|puttygen|sed|ssh-keygen) [^:,;]*(?::\S[^,;]*)*)$`)

// shellWords returns the words of a command. Quoted text, with its blanks, is part of a
// word.
func shellWords(command string) iter.Seq[string] {
	return slices.Values(shellWordOf.FindAllString(command, -1))
}

var shellWordOf = regexp.MustCompile(`(?:'[^']*'|\\.|[^\s'\\])+`)

// next prints what to do. A command at its end gets a line of its own, to be copied; if
// that is too short, the command continues after a backslash.
func (p *printer) next(text string) {
	const arrow = inset + "-> "
	at := command.FindStringSubmatchIndex(text)
	if at == nil || utf8.RuneCountInString(arrow+text) <= p.columns {
		p.wrapped(arrow, inset+"   ", text)
		return
	}
	indent := arrow
	if at[2] > 0 {
		p.wrapped(arrow, inset+"   ", text[:at[2]])
		indent = inset + "   "
	}
	lines := paragraph.Words(indent, inset+"     ", shellWords(text[at[2]:]), p.columns-len(` \`))
	p.printf("%s\n", strings.Join(lines, " \\\n"))
}
