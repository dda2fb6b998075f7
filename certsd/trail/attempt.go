package trail

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Attempt is one identity presented to a server, or passed over.
type Attempt struct {
	// Registry is the registry on whose behalf the request was made, Host the
	// host[:port] it went to, URL its URL without user, query and fragment.
	Registry, Host, URL, Method string
	// Dir is the directory the TLS settings are from, empty if there is none.
	Dir string
	// Identity is the name of the certificate file, empty if there was none to
	// present; what follows is from the certificate.
	Identity            string
	Subject, Issuer     string
	NotBefore, NotAfter time.Time
	// Leaf is the certificate itself, nil for none. It must not be changed.
	Leaf *x509.Certificate
	// Asked reports whether the server asked for a client certificate on this
	// connection, Offered that the identity was presented. Both are false on a
	// connection that takes up an earlier TLS session, for which Resumed is
	// true: what was presented then counts.
	Asked, Offered, Resumed bool
	// Fresh reports whether the request was the first on its connection.
	Fresh bool
	// Skipped says why the identity was passed over, empty if it was not.
	Skipped string
	// Unusable reports whether there is no such identity to present: something is
	// wrong with its files, and Skipped says what. Identity is the file's name.
	Unusable bool
	// Status is the answer's status, zero if there was none. Answer is what its
	// body says, in one short line: of an answer that was returned only as far
	// as somebody read it.
	Status int
	Answer string
	// Err is why there was no answer.
	Err error
	// Refused reports whether the client certificate, or the want of one, was
	// refused in a way that is no status: an alert, a connection cut after the
	// server asked for a certificate, 495 and 496 and nginx's 400 for either.
	Refused bool
	// Reason is why the next identity was tried, empty if that did not happen.
	Reason string
	// Faults are what is wrong on this machine and may be why the request
	// failed: client certificates that were not presented, or are not what the
	// server wants, and directories with almost the right name. They are set in
	// the last attempt of a round.
	Faults []*hostdir.Problem
	// Hint is what to do, where something can be done.
	Hint string
	// BeforeTLS reports whether there was no answer since TLS did not come about,
	// and the server had not asked for a client certificate.
	BeforeTLS bool
}

// Blamed is who an attempt failed for where that is nothing that a client
// certificate has to do with; empty otherwise.
func (a Attempt) Blamed() string {
	switch {
	case a.Err == nil || a.Skipped != "":
		return ""
	case errors.As(a.Err, new(*hostdir.ProxyError)), handshake.ProxyFailed(a.Err):
		return "proxy"
	case handshake.Unverified(a.Err):
		return "server certificate"
	case handshake.NotConnected(a.Err), handshake.BeforeCertificate(a.Err, a.Asked || a.Resumed), a.BeforeTLS:
		return "connection"
	}
	return ""
}

// Who returns what an attempt is about: the identity with its file, its subject, and
// until when it is valid, or what failed before one counted.
func (a Attempt) Who() string {
	if blamed := a.Blamed(); blamed != "" {
		return blamed
	}
	if a.Identity == "" {
		return "without a certificate"
	}
	if a.NotAfter.IsZero() {
		return a.Identity
	}
	verb := "expires"
	if time.Now().After(a.NotAfter) {
		verb = "expired"
	}
	return fmt.Sprintf("%s (%s, %s %s)", a.Identity, a.Subject, verb, hostdir.Day(a.NotAfter))
}

// what returns the result in words.
func (a Attempt) what() string {
	switch {
	case a.Unusable:
		return "not presented: " + a.Skipped
	case a.Skipped != "":
		return "passed over: it " + a.Skipped
	}
	text := fmt.Sprintf("%s %s: ", a.Method, a.URL)
	switch {
	case a.Err != nil:
		text += safetext.Line(a.Err.Error(), safetext.MaxURL)
	case http.StatusText(a.Status) != "":
		text += fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
	default:
		text += strconv.Itoa(a.Status)
	}
	if a.Answer != "" {
		text += fmt.Sprintf(": %q", a.Answer)
	}
	if a.Identity != "" && !a.Asked && !a.Resumed && a.Err == nil {
		text += " (the server did not ask for a certificate)"
	}
	return text
}
