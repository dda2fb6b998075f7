package check

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Table configures [WriteTable].
type Table struct {
	// Columns is the width of the terminal. 0 means DefaultColumns.
	Columns int
	// Overview begins the report with a line for each registry.
	Overview bool
}

// WriteTable writes a report for a person at a terminal. It breaks no words.
func WriteTable(w io.Writer, r *Report, t Table) error {
	p := &printer{w: w, columns: max(cmp.Or(t.Columns, DefaultColumns), minColumns)}
	if t.Overview && len(r.Registries) > 0 {
		p.overview(r.Registries)
		p.printf("\n")
	}
	if len(r.Findings) > 0 {
		p.printf("In general\n")
		p.findings(r.Findings)
		p.printf("\n")
	}
	for i, registry := range r.Registries {
		if i > 0 {
			p.printf("\n")
		}
		p.registry(registry)
	}
	return p.err
}

func (p *printer) registry(r *Registry) {
	p.printf("%s\n\nDirectories looked at, in order\n", strings.TrimSuffix(r.Registry+"/"+r.Repository, "/"))
	p.table(searched(r))
	for _, d := range r.Directories {
		p.files(d)
	}
	for _, e := range r.Endpoints {
		p.endpoint(e)
	}
	if r.Pull != nil {
		p.requests(r.Pull.Reference, r.Pull.Requests, r.Pull.Error)
	}
	if r.Push != nil {
		p.requests(r.Push.Reference+", a push", r.Push.Requests, r.Push.Error)
	}
	if len(r.Findings) > 0 {
		p.printf("\nFindings\n")
		p.findings(r.Findings)
	}
	if len(r.Ways) > 1 {
		p.printf("\nWays to pull on this machine\n")
		rows := [][]string{{"WAY", "BY", "VERDICT", "REASON"}}
		for _, way := range r.Ways {
			rows = append(rows, []string{way.Way, way.By, string(way.Verdict), way.Reason})
		}
		p.titled(rows)
	}
	p.printf("\n")
	p.wrapped("", inset, r.Registry+": "+r.Reason)
}

// searched returns the rows of the roots and directories, absent ones last.
func searched(r *Registry) [][]string {
	var rows, absent [][]string
	add := func(path, state, why string) {
		row := []string{path, state, why}
		if state == stateAbsent {
			absent = append(absent, row)
			return
		}
		rows = append(rows, row)
	}
	for _, root := range r.Roots {
		add(root.Path, root.State, "root")
	}
	for _, d := range r.Directories {
		add(d.Path, d.State, d.Why)
	}
	return append(rows, absent...)
}

func (p *printer) files(d Directory) {
	if len(d.Files) == 0 {
		return
	}
	p.printf("\n%s\n", d.Path)
	rows := [][]string{{"FILE", "READ AS", "SUBJECT", "ISSUER", "NAMES", "VALIDITY", "KEY", "MODE"}}
	for _, f := range d.Files {
		first := Certificate{}
		if len(f.Certificates) > 0 {
			first = f.Certificates[0]
		}
		key := cmp.Or(f.Key, first.KeyType)
		if f.KeySigns != nil {
			verb := "signs"
			if !*f.KeySigns {
				verb = "does not sign"
			}
			key = fmt.Sprintf("%s, %s in the %s %s", first.KeyType, filepath.Base(f.KeyFile), f.KeyDevice, verb)
		} else if f.KeyMatches != nil {
			verb := "is its key"
			if !*f.KeyMatches {
				verb = "is not its key"
			}
			key = fmt.Sprintf("%s, %s %s", first.KeyType, filepath.Base(f.KeyFile), verb)
		} else if f.KeyFile != "" {
			key = fmt.Sprintf("%s, %s cannot be compared", first.KeyType, filepath.Base(f.KeyFile))
		}
		rows = append(rows, []string{
			filepath.Base(f.Path), cmp.Or(f.Error, f.Kind), first.Subject, first.Issuer, strings.Join(first.Names, " "), first.Validity, key, f.Mode,
		})
		for _, c := range f.Certificates[min(1, len(f.Certificates)):] {
			rows = append(rows, []string{"", "", c.Subject, c.Issuer, strings.Join(c.Names, " "), c.Validity, c.KeyType, ""})
		}
	}
	p.titled(withoutEmpty(rows))
}

func (p *printer) endpoint(e *Endpoint) {
	p.printf("\n%s\n", e.URL)
	rows := [][]string{{"for", strings.Join(e.Capabilities, ", ")}}
	if e.Proxy != "" {
		rows = append(rows, []string{"proxy", e.Proxy})
	}
	rows = append(rows, []string{"CA roots", e.CAMode})
	for _, ca := range e.CAs {
		rows = append(rows, []string{"", ca})
	}
	identities := e.Identities
	if len(identities) == 0 {
		identities = []string{"none"}
	}
	for i, id := range identities {
		label := ""
		if i == 0 {
			label = "client certificates"
		}
		rows = append(rows, []string{label, id})
	}
	if len(e.Headers) > 0 {
		rows = append(rows, []string{"headers", strings.Join(e.Headers, ", ")})
	}
	for i, l := range e.Credentials {
		label := ""
		if i == 0 {
			label = "credentials"
		}
		rows = append(rows, []string{label, "of " + strings.Join(l.words(), ", ")})
	}
	if e.Live != nil {
		for _, f := range liveFacts(e) {
			if f.kind != "answer" {
				rows = append(rows, []string{liveLabels[f.kind], strings.Join(nonEmpty(f.is), ", ")})
			}
		}
	}
	p.table(rows)
	if e.Live != nil && len(e.Live.Answers) > 0 {
		p.answers(e.Live.Answers)
	}
}

var liveLabels = map[string]string{
	"proxy": "proxy", "dns": "addresses", "tcp": "connection", "down": "error", "tls": "TLS",
	"chain": "its certificate", "asks": "it asks", "uses": "a pull uses",
}

func (p *printer) answers(answers []Answer) {
	rows := [][]string{{"CERTIFICATE", "OFFERED", "/v2/", "/v1/_ping"}}
	for _, a := range answers {
		offered := "no"
		if a.Offered {
			offered = "yes"
		}
		v1 := ""
		if a.V1 != nil {
			v1 = replyWords(*a.V1)
		}
		rows = append(rows, []string{cmp.Or(a.Identity, "none"), offered, replyWords(a.V2), v1})
	}
	p.titled(withoutEmpty(rows))
}

func (p *printer) requests(reference string, requests []Reply, failure string) {
	p.printf("\n%s\n", reference)
	rows := [][]string{{"REQUEST", "CERTIFICATE", "ANSWER"}}
	for _, r := range requests {
		rows = append(rows, []string{r.Method + " " + shortURL(r.URL), cmp.Or(r.Identity, "none"), replyWords(r)})
	}
	p.titled(rows)
	if failure != "" {
		p.wrapped("  ", inset, failure)
	}
}

// shortURL shortens a long last element of a URL, such as a digest.
func shortURL(url string) string {
	dir, base := url[:strings.LastIndexByte(url, '/')+1], url[strings.LastIndexByte(url, '/')+1:]
	if len(base) > 24 {
		base = base[:20] + "…"
	}
	return dir + base
}

func (p *printer) findings(findings []Finding) {
	for _, f := range findings {
		p.wrapped("  ", inset, fmt.Sprintf("%s: %s (%s)", f.Severity, f.Where, f.Code))
		p.wrapped(inset, inset, f.Message)
		if f.Next != "" {
			p.next(f.Next)
		}
	}
}

// withoutEmpty removes the columns that have nothing but a title.
func withoutEmpty(rows [][]string) [][]string {
	keep := make([]bool, len(rows[0]))
	for _, row := range rows[1:] {
		for i, cell := range row {
			keep[i] = keep[i] || cell != ""
		}
	}
	kept := make([][]string, len(rows))
	for n, row := range rows {
		for i, cell := range row {
			if keep[i] {
				kept[n] = append(kept[n], cell)
			}
		}
	}
	return kept
}
