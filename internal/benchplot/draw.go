package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Measures, in pixels.
const (
	width, margin, lineHeight = 760, 16, 22
	// labels, bars and values are the widths of the labels, the bars and the numbers
	// after them.
	labels, values = 300, 60
	bars           = width - 2*margin - labels - values
	bar            = 12
	// most is the ratio at which a bar is cut off; its number is exact.
	most = 2.0
)

const style = "rect.back{fill:#f6f8fa}text{fill:#1b1f24;font:13px system-ui,sans-serif}text.head{font-weight:bold}text.value{font-variant-numeric:tabular-nums}" +
	"rect.bar{fill:#0969da}rect.more{fill:#bc4c00}line{stroke:#57606a;stroke-dasharray:3 3}" +
	"@media(prefers-color-scheme:dark){rect.back{fill:#161b22}text{fill:#e6edf3}rect.bar{fill:#4493f8}rect.more{fill:#db6d28}line{stroke:#8d96a0}}"

const title = "How long it takes, beside others: 1 is as long as they take"

// draw writes the results as a picture with a bar for each, and the numbers as text for
// screen readers.
func draw(w io.Writer, results []result) error {
	var said []string
	height, benchmark := 2*margin+2*lineHeight, ""
	for _, r := range results {
		if r.Benchmark != benchmark {
			benchmark, height = r.Benchmark, height+lineHeight
		}
		height += lineHeight
		said = append(said, fmt.Sprintf("%s: %s beside %s %.2f", r.Benchmark, r.Name, r.Beside, r.median()))
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-labelledby=\"t d\">\n", width, height, width, height)
	fmt.Fprintf(out, "<title id=\"t\">%s</title>\n<desc id=\"d\">%s</desc>\n", escaped(title), escaped(strings.Join(said, "; ")))
	fmt.Fprintf(out, "<style>%s</style>\n<rect class=\"back\" width=\"100%%\" height=\"100%%\" rx=\"6\"/>\n", style)
	y := margin + bar
	text(out, "head", margin, y, title)
	one := margin + labels + int(bars/most)
	fmt.Fprintf(out, "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", one, one, y+lineHeight/2, height-margin-lineHeight)
	benchmark = ""
	for _, r := range results {
		if r.Benchmark != benchmark {
			benchmark, y = r.Benchmark, y+lineHeight
			text(out, "head", margin, y, benchmark)
		}
		y += lineHeight
		r.draw(out, y)
	}
	text(out, "", one-3, y+lineHeight, "1")
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
}

// draw writes one bar, with its label before it and its number after it.
func (r result) draw(w io.Writer, y int) {
	median := r.median()
	class, length := "bar", int(bars*min(median, most)/most)
	if median > 1 {
		class = "more"
	}
	text(w, "", 2*margin, y, r.Name+" beside "+r.Beside)
	fmt.Fprintf(w, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n", class, margin+labels, y-bar+1, max(length, 1), bar)
	text(w, "value", margin+labels+length+6, y, fmt.Sprintf("%.2f", median))
}

func text(w io.Writer, class string, x, y int, words string) {
	if class != "" {
		class = ` class="` + class + `"`
	}
	fmt.Fprintf(w, "<text x=\"%d\" y=\"%d\"%s>%s</text>\n", x, y, class, escaped(words))
}

func escaped(words string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(words)) // a Builder never fails
	return b.String()
}
