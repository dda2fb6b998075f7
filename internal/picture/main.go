// Command picture draws text for the documentation, line by line in a monospaced font.
// "make pictures" runs it:
//
//	picture -title 'certsd demo' <demo.txt >demo.svg
package main

import (
	"bufio"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

func main() {
	title := flag.String("title", "", "what the picture is of")
	flag.Parse()
	if err := draw(os.Stdout, os.Stdin, *title); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// Sizes in pixels: of a letter, and of the margin around the text.
const (
	letterWidth, lineHeight = 8.4, 19
	margin                  = 16
)

// escapes matches the control sequences of a terminal.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]|\r")

// draw writes the text as SVG, with a text for screen readers.
func draw(w io.Writer, r io.Reader, title string) error {
	var lines []string
	widest := utf8.RuneCountInString(title)
	scanner := bufio.NewScanner(r)
	for scanner.Scan() {
		line := strings.TrimRight(safetext.Text(escapes.ReplaceAllString(scanner.Text(), "")), " ")
		lines = append(lines, line)
		widest = max(widest, utf8.RuneCountInString(line))
	}
	if err := scanner.Err(); err != nil {
		return err
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	width, height := float64(widest)*letterWidth+2*margin, len(lines)*lineHeight+2*margin
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %d\" width=\"%.0f\" height=\"%d\" role=\"img\" aria-label=\"%s\">\n",
		width, height, width, height, escaped(title))
	fmt.Fprintf(out, "<style>rect{fill:#f6f8fa}text{fill:#1b1f24;font:14px ui-monospace,Menlo,Consolas,monospace;white-space:pre}.typed{font-weight:bold}"+
		"@media(prefers-color-scheme:dark){rect{fill:#161b22}text{fill:#e6edf3}}</style>\n<rect width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n")
	for i, line := range lines {
		class := ""
		if strings.HasPrefix(line, "$ ") {
			class = ` class="typed"`
		}
		fmt.Fprintf(out, "<text x=\"%d\" y=\"%d\" xml:space=\"preserve\"%s>%s</text>\n", margin, margin+13+i*lineHeight, class, escaped(line))
	}
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
