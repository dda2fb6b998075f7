package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/certsd/containerd-certsd/internal/bytesize"
	"github.com/certsd/containerd-certsd/internal/paragraph"
)

// DefaultColumns is the default width of text for people.
const DefaultColumns = 80

// Tell writes the status of daemons for people, beginning with what needs a person.
func Tell(w io.Writer, daemons []*Status, columns int) error {
	p := &printer{w: w, columns: max(columns, 40)}
	for _, st := range daemons {
		p.needs(st, len(daemons) > 1)
	}
	if p.needed > 0 {
		p.print("\n")
	}
	for i, st := range daemons {
		if i > 0 {
			p.print("\n")
		}
		p.daemon(st)
	}
	return p.err
}

type printer struct {
	w       io.Writer
	columns int
	needed  int
	err     error
}

func (p *printer) print(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

// wrapped writes a paragraph: see [paragraph.Lines].
func (p *printer) wrapped(first, rest, text string) {
	for _, line := range paragraph.Lines(first, rest, text, p.columns) {
		p.print(line + "\n")
	}
}

func (p *printer) needs(st *Status, several bool) {
	for _, n := range st.Needs {
		if p.needed == 0 {
			p.print("NEEDS A PERSON\n")
		}
		p.needed++
		who := ""
		if several {
			who = Title(st.Daemon) + ", "
		}
		if n.Registry != "" {
			who += n.Registry + ": "
		} else if who != "" {
			who = strings.TrimSuffix(who, ", ") + ": "
		}
		p.wrapped("  ", "    ", line(who+n.What))
		if n.Next != "" {
			p.wrapped("    -> ", "       ", line(n.Next))
		}
	}
}

// Title returns the name of a kind of daemon.
func Title(daemon string) string {
	switch daemon {
	case Plugin:
		return "containerd with the plugin"
	case Gateway:
		return "certsd gateway"
	case ImageService:
		return "certsd cri"
	default:
		return line(daemon)
	}
}

func (p *printer) daemon(st *Status) {
	head := Title(st.Daemon)
	if st.Version != "" {
		head += " " + line(st.Version)
	}
	if st.Address != "" {
		head += " at " + line(st.Address)
	}
	p.wrapped("", "  ", fmt.Sprintf("%s, since %s", head, Clock(st.Since)))
	p.facts(st)
	if len(st.Registries) == 0 {
		p.wrapped("  ", "  ", Nothing(st))
	}
	for _, r := range st.Registries {
		p.registry(st, r)
	}
	if st.Omitted > 0 {
		p.print(fmt.Sprintf("  and %d registries more\n", st.Omitted))
	}
	if len(st.Idle) > 0 && len(st.Registries) > 0 {
		p.wrapped("  not asked for yet: ", "    ", line(list(st.Idle, 20)))
	}
	for _, o := range st.Resting {
		p.wrapped("  passed over for now: ", "    ", line(fmt.Sprintf("%s, until %s: %s", o.Endpoint, Clock(o.Until), o.Cause)))
	}
	for _, w := range st.Work {
		p.wrapped("  under way: ", "    ", w.words(st.Now))
	}
}

// Nothing returns what to do if no registry is in use.
func Nothing(st *Status) string {
	if len(st.Idle) > 0 {
		return line("no registry has been used yet. These have a directory: " + list(st.Idle, 20) + ". Pull an image, or look with certsd check " + st.Idle[0])
	}
	return line("no registry has a directory below " + strings.Join(st.Roots, ":") +
		": make one named after a registry, with its CA as ca.crt and the certificate as client.cert and client.key, and look with certsd check REGISTRY")
}

func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
}

func (p *printer) facts(st *Status) {
	fact := func(name, text string) {
		if text != "" {
			p.wrapped(fmt.Sprintf("  %-10s ", name), strings.Repeat(" ", 13), line(text))
		}
	}
	fact("roots", strings.Join(st.Roots, ":"))
	fact("containerd", st.Containerd)
	if st.CRI != "" {
		fact("CRI", st.CRI)
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"} {
		if v := st.Proxy[name]; v != "" {
			fact("proxy", name+"="+v)
		}
	}
	if s := st.Secret; s != nil {
		switch {
		case s.Open:
			fact("secret", "none is needed: allow_any_local")
		case s.Changed != nil:
			fact("secret", ago(*s.Changed, st.Now)+" old")
		}
	}
	for _, u := range []struct {
		name string
		use  *Usage
	}{{"store", st.Store}, {"spool", st.Spool}} {
		if u.use != nil {
			fact(u.name, u.use.words())
		}
	}
}

func (p *printer) registry(st *Status, r Registry) {
	where := r.Directory
	if where == "" {
		where = "no directory: the system's CA roots, and no client certificate"
	}
	if r.Fallback {
		where += " (for registries without one)"
	}
	p.print("\n")
	p.wrapped("  ", "    ", line(r.Name+"  "+where))
	if r.Error != "" {
		p.wrapped("    cannot be used: ", "      ", line(r.Error))
	}
	if r.Memory != nil {
		p.wrapped("    ", "      ", line("from memory, because the files are broken since "+Clock(r.Memory.Since)+": "+r.Memory.Cause))
	}
	for _, e := range r.Endpoints {
		p.endpoint(st, r, e)
	}
	for _, repo := range r.Repositories {
		p.repository(st, repo)
	}
}

func (p *printer) endpoint(st *Status, r Registry, e Endpoint) {
	if e.Host != r.Name || len(r.Endpoints) > 1 {
		p.wrapped("    ", "      ", line("at "+e.URL))
	}
	if e.Proxy != "" {
		p.wrapped("    ", "      ", line("through proxy "+e.Proxy))
	}
	width := 0
	for _, id := range e.Identities {
		width = max(width, utf8.RuneCountInString(line(id.Name)))
	}
	width = min(width, 24)
	for _, id := range e.Identities {
		p.wrapped(fmt.Sprintf("    %-*s  ", width, line(id.Name)), strings.Repeat(" ", width+6), line(id.words(st.Now)))
	}
	if i := slices.IndexFunc(st.Servers, func(v Server) bool { return v.Host == e.Host }); i >= 0 {
		if text := st.Servers[i].words(st.Now); text != "" {
			p.wrapped("    ", "      ", line(text))
		}
	}
}

// words describes an identity: its subject, its expiry and its last outcome.
func (id Identity) words(now time.Time) string {
	var parts []string
	if id.Certificate != nil {
		parts = append(parts, id.Subject+", serial "+id.Serial, Ends(id.NotAfter, now))
	}
	if !id.Presented {
		parts = append(parts, "not presented: "+id.Why)
	}
	switch {
	case id.Accepted != nil && id.Answer != nil && id.Accepted.Equal(id.Answer.At):
		parts = append(parts, fmt.Sprintf("accepted %s ago (%s)", ago(*id.Accepted, now), id.Answer.Result))
	case id.Answer != nil:
		parts = append(parts, fmt.Sprintf("last answer %s, %s ago", id.Answer.Result, ago(id.Answer.At, now)))
		if id.Accepted != nil {
			parts = append(parts, "accepted "+ago(*id.Accepted, now)+" ago")
		}
	case id.Certificate != nil && id.Presented:
		parts = append(parts, "not presented yet")
	}
	return strings.Join(parts, "; ")
}

// words describes when the certificates of a server and its CA expire.
func (v Server) words(now time.Time) string {
	if v.Certificate == nil {
		return ""
	}
	text := "its certificate " + Ends(v.Certificate.NotAfter, now)
	if v.CA != nil {
		text += "; its CA " + v.CA.Subject + " " + Ends(v.CA.NotAfter, now)
	} else {
		text += "; not verified"
	}
	return text
}

func (p *printer) repository(st *Status, repo Repository) {
	text := "repository " + repo.Name + ": "
	switch {
	case repo.Refused != nil:
		text += fmt.Sprintf("refused %s ago (%s)", ago(repo.Refused.At, st.Now), strings.Join(repo.Refused.Answers, ", "))
		if repo.Accepted != nil {
			text += "; before that " + repo.Accepted.words(st.Now)
		}
	case repo.Accepted != nil:
		text += repo.Accepted.words(st.Now)
	default:
		text += "nothing was accepted or refused yet"
	}
	p.wrapped("    ", "      ", line(text))
}

func (a Accepted) words(now time.Time) string {
	name := a.Identity
	if name == "" {
		name = "no certificate"
	}
	return name + " was accepted " + ago(a.At, now) + " ago"
}

// words describes the progress of a download or conversion.
func (w Work) words(now time.Time) string {
	text := w.Kind + " of " + w.Ref
	if w.Digest != "" {
		text += " " + w.Digest
	}
	if w.LayersBegun > 0 {
		text += fmt.Sprintf(", %d of %d layers", w.Layers, w.LayersBegun)
	}
	text += ", " + bytesize.Of(w.Bytes)
	if w.Total > 0 {
		text += " of " + bytesize.Of(w.Total)
	}
	return line(text + ", for " + ago(w.Since, now))
}

func (u Usage) words() string {
	if u.Limit <= 0 {
		return bytesize.Of(u.Used) + ", no limit"
	}
	return bytesize.Of(u.Used) + " of " + bytesize.Of(u.Limit)
}

// ago formats the time since t.
func ago(t, now time.Time) string { return Span(now.Sub(t)) }
