package statuspage

import (
	"slices"
	"time"

	"github.com/certsd/containerd-certsd/internal/status"
)

// timeline is a picture of the certificates that expire next.
type timeline struct {
	Rows []end
	// Width and Height are the picture's, Axis is the position of its axis.
	Width, Height, Axis int
	Ticks               []tick
	// More is how many certificates expire later.
	More int
}

// end is a certificate in the picture.
type end struct {
	Kind, Who, Host string
	At              time.Time
	// Words says when it expires.
	Words string
	// Y is the row's position, Length the length of its bar.
	Y, Length int
	// Soon and Over report whether it expires soon or has expired.
	Soon, Over bool
}

type tick struct {
	X    int
	Text string
}

const (
	maxEnds   = 12
	rowHeight = 34
	barWidth  = 300
)

// mark identifies a certificate.
type mark struct{ kind, who, serial string }

// timelineOf returns the timeline of the certificates that expire first: of clients,
// servers and CAs.
func timelineOf(st *status.Status) timeline {
	type certificate struct {
		kind, who, host string
		*status.Certificate
	}
	var all []certificate
	seen := map[mark]bool{}
	add := func(kind, host, who string, c *status.Certificate) {
		m := mark{kind, who, c.Serial}
		if kind == status.EndOfCA {
			m.who = c.Issuer
		}
		if !seen[m] {
			seen[m] = true
			all = append(all, certificate{kind, who, host, c})
		}
	}
	for i := range st.Registries {
		for _, e := range st.Registries[i].Endpoints {
			for _, id := range e.Identities {
				if id.Certificate != nil {
					add(status.EndOfClient, e.Host, id.File, id.Certificate)
				}
			}
		}
	}
	for _, s := range st.Servers {
		if s.Certificate != nil {
			add(status.EndOfServer, s.Host, s.Host, s.Certificate)
		}
		if s.CA != nil {
			add(status.EndOfCA, s.Host, s.CA.Subject, s.CA)
		}
	}
	slices.SortStableFunc(all, func(a, b certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	t := timeline{Width: barWidth + 20, More: max(0, len(all)-maxEnds)}
	for _, c := range all[:min(len(all), maxEnds)] {
		t.Rows = append(t.Rows, end{
			Kind: c.kind, Who: c.who, Host: c.host, At: c.NotAfter, Words: status.Ends(c.NotAfter, st.Now),
			Soon: status.EndsSoon(c.NotBefore, c.NotAfter, st.Now), Over: st.Now.After(c.NotAfter),
		})
	}
	t.place(st.Now)
	return t
}

// place lays out the rows below one another, with their ends on a common axis.
func (t *timeline) place(now time.Time) {
	t.Axis = len(t.Rows)*rowHeight + 4
	t.Height = t.Axis + 22
	whole := 30 * 24 * time.Hour
	for _, r := range t.Rows {
		whole = max(whole, r.At.Sub(now))
	}
	for i := range t.Rows {
		r := &t.Rows[i]
		r.Y = i * rowHeight
		r.Length = max(2, int(float64(barWidth)*float64(max(0, r.At.Sub(now)))/float64(whole)))
	}
	for _, part := range []int{0, 1, 2} {
		text := "now"
		if part > 0 {
			text = status.Span(whole * time.Duration(part) / 2)
		}
		t.Ticks = append(t.Ticks, tick{X: barWidth * part / 2, Text: text})
	}
}
