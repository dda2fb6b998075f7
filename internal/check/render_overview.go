package check

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// overview prints the totals, and a line for each registry.
func (p *printer) overview(registries []*Registry) {
	rows := [][]string{{"REGISTRY", "VERDICT", "FIRST TO END", "FINDINGS"}}
	count := map[Verdict]int{}
	for _, r := range registries {
		count[r.Verdict]++
		rows = append(rows, []string{r.Registry, string(r.Verdict), firstEnd(r), findingWords(r.Findings)})
	}
	var sums []string
	for _, v := range []Verdict{Works, Unasked, Refused, Unusable} {
		if n := count[v]; n > 0 {
			sums = append(sums, strconv.Itoa(n)+" "+string(v))
		}
	}
	noun := "registries"
	if len(registries) == 1 {
		noun = "registry"
	}
	p.printf("%d %s: %s\n", len(registries), noun, strings.Join(sums, ", "))
	// Each registry stays on one line, even if its name leaves no room for the rest.
	p.led(rows)
}

// led prints rows in columns, the first of which gets the remaining width.
func (p *printer) led(rows [][]string) {
	tails := make([][]string, len(rows))
	for i, row := range rows {
		tails[i] = row[1:]
	}
	lines := columns(tails)
	lead, rest := 0, 0
	for i, line := range lines {
		lead, rest = max(lead, utf8.RuneCountInString(rows[i][0])), max(rest, utf8.RuneCountInString(line))
	}
	lead = max(min(lead, p.columns-rest-len("  ")), 0)
	for i, line := range lines {
		p.printf("  %-*s%s\n", lead, rows[i][0], line)
	}
}

// findingWords names the first finding and counts the others.
func findingWords(findings []Finding) string {
	switch n := len(findings); n {
	case 0:
		return "none"
	case 1:
		return string(findings[0].Code)
	default:
		return fmt.Sprintf("%s and %d more", findings[0].Code, n-1)
	}
}

// firstEnd returns the validity of the certificate that ends first, of those in use and
// those the server showed.
func firstEnd(r *Registry) string {
	var end time.Time
	words := ""
	look := func(certs []Certificate) {
		for _, c := range certs {
			if words == "" || c.NotAfter.Before(end) {
				end, words = c.NotAfter, strings.TrimPrefix(c.Validity, "expires ")
			}
		}
	}
	for _, d := range r.Directories {
		for _, f := range d.Files {
			if d.State == "used" && (f.Kind == kindCA || f.Kind == kindClient) {
				look(f.Certificates)
			}
		}
	}
	for _, e := range r.Endpoints {
		if e.Live != nil && e.Live.TLS != nil {
			look(e.Live.TLS.Chain)
		}
	}
	return words
}
