package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// WriteJSON writes a report as JSON: see docs/check.md.
func WriteJSON(w io.Writer, r *Report) error {
	whole := *r
	whole.Verdict = r.Overall()
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(withEmptyLists(reflect.ValueOf(whole)).Interface())
}

// withEmptyLists returns a copy of v in which each nil slice is an empty one: "[]"
// spares programs a case.
func withEmptyLists(v reflect.Value) reflect.Value {
	whole := reflect.New(v.Type()).Elem()
	whole.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			whole.Set(reflect.New(v.Type().Elem()))
			whole.Elem().Set(withEmptyLists(v.Elem()))
		}
	case reflect.Slice:
		whole.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			whole.Index(i).Set(withEmptyLists(v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				whole.Field(i).Set(withEmptyLists(v.Field(i)))
			}
		}
	default:
	}
	return whole
}

// WriteLines writes a report for programs such as grep, one fact a line: first its
// kind, then its registry.
func WriteLines(w io.Writer, r *Report) error {
	p := &printer{w: w}
	// What keeps a daemon from using the directories belongs before the findings about
	// them; the verdict comes last.
	for _, f := range r.Findings {
		p.printf("%s - %s %s: %s%s\n", f.Severity, f.Code, f.Where, f.Message, arrow(f.Next))
	}
	for _, registry := range r.Registries {
		name := registry.Registry
		for _, f := range facts(registry) {
			p.printf("%s %s %s\n", f.kind, name, f.text())
		}
		for _, f := range registry.Findings {
			p.printf("%s %s %s %s: %s%s\n", f.Severity, name, f.Code, f.Where, f.Message, arrow(f.Next))
		}
		p.printf("verdict %s %s: %s\n", name, registry.Verdict, registry.Reason)
	}
	return p.err
}

func arrow(next string) string {
	if next == "" {
		return ""
	}
	return " -> " + next
}

// printer prints until a write fails.
type printer struct {
	w io.Writer
	// columns is the width for tables and paragraphs.
	columns int
	err     error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, safetext.Text(fmt.Sprintf(format, args...)))
	}
}

// fact is one line of a report: its kind, its subject and what is known of it.
type fact struct {
	kind, what string
	is         []string
}

func (f fact) text() string { return f.what + ": " + strings.Join(nonEmpty(f.is), ", ") }

func nonEmpty(parts []string) []string {
	var kept []string
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return kept
}

// facts returns the rest of a report, without findings and verdict, in order.
func facts(r *Registry) []fact {
	var all []fact
	add := func(kind, what string, is ...string) { all = append(all, fact{kind, what, is}) }
	for _, root := range r.Roots {
		add("root", root.Path, root.State)
	}
	for _, d := range r.Directories {
		add("directory", d.Path, d.State, d.Why)
		for _, f := range d.Files {
			add("file", f.Path, fileWords(f)...)
		}
	}
	for _, e := range r.Endpoints {
		add("endpoint", e.URL, endpointWords(e)...)
		for _, l := range e.Credentials {
			add("credentials", e.URL, l.words()...)
		}
		if e.Live != nil {
			all = append(all, liveFacts(e)...)
		}
	}
	if r.Pull != nil {
		for _, reply := range r.Pull.Requests {
			add("request", reply.Method+" "+reply.URL, cmp.Or(reply.Identity, "no certificate"), replyWords(reply))
		}
		outcome := cmp.Or(r.Pull.Error, "works"+with(r.Pull.Identity))
		add("pull", r.Pull.Reference, outcome, r.Pull.Digest)
	}
	if r.Push != nil {
		for _, reply := range r.Push.Requests {
			add("request", reply.Method+" "+reply.URL, cmp.Or(reply.Identity, "no certificate"), replyWords(reply))
		}
		add("push", r.Push.Reference, cmp.Or(r.Push.Error, "may begin"+with(r.Push.Identity)))
	}
	if len(r.Ways) > 1 {
		for _, way := range r.Ways {
			add("way", way.Way, string(way.Verdict), "by "+way.By, way.Reason)
		}
	}
	return all
}

func fileWords(f File) []string {
	words := []string{f.Kind}
	for i, c := range f.Certificates {
		if i > 0 && f.Kind == kindClient {
			words = append(words, "chain "+c.Subject)
			continue
		}
		words = append(words, certificateWords(c))
	}
	switch {
	case f.KeySigns != nil && *f.KeySigns:
		words = append(words, "key "+filepath.Base(f.KeyFile)+" in the "+f.KeyDevice+" signs")
	case f.KeySigns != nil:
		words = append(words, "key "+filepath.Base(f.KeyFile)+" in the "+f.KeyDevice+" does not sign")
	case f.KeyMatches != nil && *f.KeyMatches:
		words = append(words, "key "+filepath.Base(f.KeyFile)+" matches")
	case f.KeyMatches != nil:
		words = append(words, "key "+filepath.Base(f.KeyFile)+" does not match")
	case f.KeyFile != "":
		words = append(words, "key "+filepath.Base(f.KeyFile)+" cannot be compared")
	}
	switch {
	case f.Key != "" && f.Kind == kindKey:
		words = append(words, f.Key)
	case f.Key != "":
		words = append(words, "private key "+f.Key)
	}
	if f.Mode != "" {
		words = append(words, "mode "+f.Mode)
	}
	return append(words, f.Error)
}

func certificateWords(c Certificate) string {
	words := []string{"subject " + c.Subject, "issuer " + c.Issuer}
	if len(c.Names) > 0 {
		words = append(words, "names "+strings.Join(c.Names, " "))
	}
	return strings.Join(append(words, c.KeyType, c.Validity), ", ")
}

func endpointWords(e *Endpoint) []string {
	words := []string{strings.Join(e.Capabilities, " "), e.CAMode}
	if len(e.CAs) > 0 {
		words = append(words, "ca "+strings.Join(e.CAs, " "))
	}
	if len(e.Identities) > 0 {
		words = append(words, "client "+strings.Join(e.Identities, " "))
	} else {
		words = append(words, "no client certificate")
	}
	if e.Proxy != "" {
		words = append(words, "proxy "+e.Proxy)
	}
	if len(e.Headers) > 0 {
		words = append(words, "headers "+strings.Join(e.Headers, " "))
	}
	return words
}

// liveFacts returns what a server showed.
func liveFacts(e *Endpoint) []fact {
	var all []fact
	add := func(kind string, is ...string) { all = append(all, fact{kind, e.URL, is}) }
	l := e.Live
	if l.Proxy != "" {
		add("proxy", l.Proxy)
	}
	if len(l.Addresses) > 0 {
		add("dns", strings.Join(l.Addresses, " "))
	}
	if l.Connected != "" {
		add("tcp", "connected to "+l.Connected)
	}
	if l.PlainHTTP {
		add("tls", "none: the server speaks plain HTTP")
	}
	if l.Error != "" {
		add("down", l.Error)
	}
	if t := l.TLS; t != nil {
		verified := "verified"
		if !t.Verified {
			verified = "not verified: " + t.Error
		}
		add("tls", t.Version, t.Cipher, verified)
		for _, c := range t.Chain {
			add("chain", certificateWords(c))
		}
		switch {
		case !t.Asked:
			add("asks", "for no client certificate")
		case len(t.AcceptableCAs) == 0:
			add("asks", "for a client certificate", "names no CAs")
		default:
			add("asks", "for a client certificate of "+strings.Join(t.AcceptableCAs, " or of "))
		}
	}
	for _, a := range l.Answers {
		add("answer", answerWords(a)...)
	}
	if l.Status != 0 {
		add("uses", cmp.Or(l.Identity, "no certificate"), fmt.Sprintf("answered with %d", l.Status), l.Protocol)
	}
	return all
}

func answerWords(a Answer) []string {
	words := []string{"no certificate"}
	switch {
	case a.Identity != "" && a.Offered:
		words = []string{a.Identity + " offered"}
	case a.Identity != "":
		words = []string{a.Identity + " not offered"}
	}
	words = append(words, "/v2/ "+replyWords(a.V2))
	if a.V1 != nil {
		words = append(words, "/v1/_ping "+replyWords(*a.V1))
	}
	return words
}

func replyWords(r Reply) string {
	if r.Answer != "" && !strings.Contains(r.Words, r.Answer) {
		return fmt.Sprintf("%s (%q)", r.Words, r.Answer)
	}
	return r.Words
}
