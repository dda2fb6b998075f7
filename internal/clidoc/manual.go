package clidoc

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
)

// Manual is a manual page in section 1, written in the macros of man(7), for a command
// and all its subcommands.
type Manual struct {
	// Date is the day of the last change, as YYYY-MM-DD.
	Date string
	// Sections follow the commands, in their order.
	Sections []Section
}

// Section is one part of a manual page: paragraphs separated by empty lines. Lines that
// begin with blanks are shown verbatim.
type Section struct {
	// Title is the heading, in capitals.
	Title, Text string
}

// WriteTo writes the page of root, whether or not it has run: its name and description,
// its flags, its commands, and the sections.
func (m *Manual) WriteTo(out io.Writer, root *cli.Command) error {
	p := &page{}
	name := root.Name
	p.line(".TH " + strings.ToUpper(name) + " 1 " + m.Date + ` "` + escape(strings.TrimSpace("containerd-certsd "+root.Version)) + `"`)
	p.macro("SH", "NAME")
	p.line(escape(name) + ` \-`)
	p.fill(root.Usage)
	p.macro("SH", "SYNOPSIS")
	p.synopsis(name, "[global options] COMMAND [options] [arguments]")
	if root.Description != "" {
		p.macro("SH", "DESCRIPTION")
		p.text(root.Description)
	}
	p.macro("SH", "GLOBAL OPTIONS")
	p.flags(append(Flags(root), help))
	p.macro("SH", "COMMANDS")
	for _, c := range Commands(root) {
		p.command(name, c)
	}
	for _, s := range m.Sections {
		p.macro("SH", s.Title)
		p.text(s.Text)
	}
	_, err := out.Write(p.Bytes())
	return err
}

// help is the flag that every command has.
var help = Flag{Names: []string{"help", "h"}, Usage: "show what a command is for, its flags and examples"}

// page is a manual page being written.
type page struct{ bytes.Buffer }

func (p *page) line(text string) { p.WriteString(text + "\n") }

// macro writes a request with its arguments.
func (p *page) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, arg := range args {
		fmt.Fprintf(p, ` "%s"`, strings.ReplaceAll(escape(arg), `"`, `\(dq`))
	}
	p.WriteString("\n")
}

func (p *page) command(prefix string, c *cli.Command) {
	full := prefix + " " + c.Name
	p.macro("SS", full)
	p.fill(sentence(c.Usage))
	p.macro("PP")
	arguments := strings.TrimSpace(c.ArgsUsage)
	if len(Flags(c)) > 0 {
		arguments = strings.TrimSpace("[options] " + arguments)
	}
	p.synopsis(full, arguments)
	if len(c.Aliases) > 0 {
		p.macro("PP")
		p.line("Also called " + escape(strings.Join(c.Aliases, ", ")) + ".")
	}
	if c.Description != "" {
		p.macro("PP")
		p.text(c.Description)
	}
	p.flags(Flags(c))
	for _, sub := range Commands(c) {
		p.command(full, sub)
	}
}

func (p *page) synopsis(name, arguments string) {
	p.macro("B", name)
	if arguments != "" {
		p.fill(arguments)
	}
}

func (p *page) flags(flags []Flag) {
	for _, f := range flags {
		p.macro("TP")
		var names []string
		for _, name := range f.Names {
			names = append(names, `\fB`+escape(dashed(name))+`\fR`)
		}
		head := strings.Join(names, ", ")
		if f.Value != "" {
			head += ` \fI` + escape(f.Value) + `\fR`
		}
		p.line(head)
		p.fill(sentence(f.Usage))
		if f.Default != "" {
			p.line("Default: " + escape(f.Default) + ".")
		}
		if f.Repeated {
			p.line("It may be given several times.")
		}
	}
}

// dashed returns a flag's name as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// text writes paragraphs and indented blocks.
func (p *page) text(text string) {
	var paragraph, example []string
	first := true
	finish := func() {
		if !first && len(paragraph)+len(example) > 0 {
			p.macro("PP")
		}
		switch {
		case len(paragraph) > 0:
			p.fill(strings.Join(paragraph, " "))
		case len(example) > 0:
			p.example(example)
		default:
			return
		}
		first, paragraph, example = false, nil, nil
	}
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		indented := strings.HasPrefix(line, " ")
		switch {
		case strings.TrimSpace(line) == "" && len(example) > 0:
			example = append(example, "")
		case strings.TrimSpace(line) == "", indented && len(paragraph) > 0, !indented && len(example) > 0:
			finish()
		}
		switch {
		case strings.TrimSpace(line) == "":
		case indented:
			example = append(example, line)
		default:
			paragraph = append(paragraph, line)
		}
	}
	finish()
}

// example writes lines verbatim, without their common indentation.
func (p *page) example(lines []string) {
	for lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	shared := len(lines[0])
	for _, line := range lines {
		if line != "" {
			shared = min(shared, len(line)-len(strings.TrimLeft(line, " ")))
		}
	}
	p.macro("RS", "4")
	p.macro("EX")
	for _, line := range lines {
		p.line(guard(escape(strings.TrimRight(line[min(shared, len(line)):], " "))))
	}
	p.macro("EE")
	p.macro("RE")
}

// width is the maximum length of lines in the source, as mandoc recommends.
const width = 78

// fill writes a paragraph.
func (p *page) fill(text string) {
	line := ""
	for word := range strings.FieldsSeq(escape(text)) {
		if line != "" && len(line)+1+len(word) > width {
			p.line(guard(line))
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.line(guard(line))
}

// guard keeps a line of text from being read as a request.
func guard(line string) string {
	if strings.HasPrefix(line, ".") {
		return `\&` + line
	}
	return line
}

// sentence turns a usage text, which has no capital and full stop, into a sentence.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// escape escapes the characters that are special to troff.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}
