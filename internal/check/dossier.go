package check

import (
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/handshake"
)

// dossier is what all parts of a check share: what is checked, and what was found.
type dossier struct {
	*subject
	*ledger
}

// presented reports whether the server saw the identity of an attempt: many do not ask
// for one.
func (d dossier) presented(a certsd.Attempt) bool {
	return a.Identity != "" && (a.Offered || a.Resumed && !d.asksNobody(a.Host))
}

// asksNobody reports whether an endpoint's handshake requested no client certificate,
// which a resumed session does not show.
func (d dossier) asksNobody(host string) bool {
	for i, e := range d.inspection.Host.Endpoints {
		if live := d.report.Endpoints[i].Live; e.Host == host && live != nil && live.TLS != nil {
			return !live.TLS.Asked
		}
	}
	return false
}

// reply converts an attempt to a Reply.
func (d dossier) reply(a certsd.Attempt) Reply {
	said := Reply{Method: a.Method, URL: a.URL, Status: a.Status, Answer: a.Answer}
	if d.presented(a) || a.Skipped != "" {
		said.Identity = a.Identity
	}
	switch {
	case a.Skipped != "":
		said.Words = "passed over: it " + a.Skipped
	case a.Err != nil:
		said.Words = wordsOf(a.Err)
		if alert, ok := handshake.Alert(a.Err); ok {
			said.Alert = int(alert)
		}
	default:
		said.Words = statusWords(a.Status, a.Answer)
	}
	return said
}

// anyReached reports whether any endpoint could be asked.
func (d dossier) anyReached() bool {
	return slices.ContainsFunc(d.report.Endpoints, func(e *Endpoint) bool { return e.Live != nil && len(e.Live.Answers) > 0 })
}

// v1 reports whether an endpoint speaks v1 and none speaks v2.
func (d dossier) v1() bool {
	speaks := func(protocol string) bool {
		return slices.ContainsFunc(d.report.Endpoints, func(e *Endpoint) bool { return e.Live != nil && e.Live.Protocol == protocol })
	}
	return speaks("v1") && !speaks("v2")
}

// speaksV1 records that an endpoint serves the image over v1.
func (d dossier) speaksV1(host string) {
	for i, e := range d.inspection.Host.Endpoints {
		if live := d.report.Endpoints[i].Live; e.Host == host && live != nil {
			live.Protocol = "v1"
		}
	}
}
