package status

import (
	"cmp"
	"crypto/x509"
	"slices"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// The kinds of [End].
const (
	EndOfClient = "client"
	EndOfServer = "server"
	EndOfCA     = "CA"
)

// End is a certificate in use that will expire.
type End struct {
	Kind string
	// Host is the host[:port] it is used for, Who its file, or the name of the server
	// or CA. Identity is the name of a client certificate.
	Host, Who, Identity string
	Certificate         *x509.Certificate
}

// Key returns a key that identifies it.
func (e End) Key() string { return e.Kind + " " + e.Who + " " + Serial(e.Certificate) }

// Ends returns the certificates in use, each once, in the order in which they expire:
// client certificates, those of servers, and the CAs that verified these.
func (s *State) Ends() []End {
	var all []End
	seen := map[string]bool{}
	add := func(e End) {
		if key := e.Key(); !seen[key] {
			seen[key] = true
			all = append(all, e)
		}
	}
	for _, u := range s.InUse() {
		if u.Host == nil {
			continue
		}
		for _, ep := range u.Host.Endpoints {
			for _, id := range ep.Identities {
				if leaf := id.Leaf(); leaf != nil {
					add(End{EndOfClient, ep.Host, safetext.Line(id.CertFile, 0), id.Name, leaf})
				}
			}
		}
	}
	for _, v := range s.Servers() {
		if v.Certificate != nil {
			add(End{EndOfServer, v.Host, safetext.Line(v.Host, 0), "", v.Certificate})
		}
		if v.CA != nil {
			who := v.CAFile
			if who == "" {
				who = v.CA.Subject.String()
			}
			add(End{EndOfCA, v.Host, safetext.Line(who, 0), "", v.CA})
		}
	}
	slices.SortFunc(all, func(a, b End) int {
		return cmp.Or(a.Certificate.NotAfter.Compare(b.Certificate.NotAfter), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Who, b.Who))
	})
	return all
}
