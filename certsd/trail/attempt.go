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
	// host[:port] it went to, URL the request's URL without user, query and fragment.
	Registry, Host, URL, Method string
	// Dir is the directory with the TLS settings, empty for none.
	Dir string
	// Identity is the name of the certificate file, empty if there was none to present;
	// the next four fields are from the certificate.
	Identity            string
	Subject, Issuer     string
	NotBefore, NotAfter time.Time
	// Leaf is the certificate itself, nil for none. It must not be changed.
	Leaf *x509.Certificate
	// Asked reports whether the server asked for a client certificate on this
	// connection, Offered whether the identity was presented. Both are false and
	// Resumed is true on a connection that resumes an earlier TLS session: the
	// certificate presented then still counts.
	Asked, Offered, Resumed bool
	// Fresh reports whether the request was the first on its connection.
	Fresh bool
	// Skipped says why the identity was passed over, empty if it was not.
	Skipped string
	// Unusable reports whether the identity could not be loaded: Skipped says what is
	// wrong with its files, and Identity is a file's name.
	Unusable bool
	// Status is the answer's status, zero without an answer. Answer is the text of its
	// body in one short line. If the answer was returned to the caller, it is empty
	// until the caller reads the body.
	Status int
	Answer string
	// Err says why there was no answer.
	Err error
	// Refused reports whether the client certificate, or the lack of one, was refused
	// other than by an ordinary status: by an alert, a connection cut after the server
	// asked for a certificate, 495, 496, or nginx's 400 for either.
	Refused bool
	// Reason says why the next identity was tried, empty if none was.
	Reason string
	// Faults are problems on this machine that may be why the request failed: client
	// certificates that were not presented, or are not what the server wants, and
	// directories with almost the right name. They are set in the last attempt of a
	// round.
	Faults []*hostdir.Problem
	// Hint is the next step, empty if none is known.
	Hint string
	// BeforeTLS reports whether there was no answer because the TLS handshake failed
	// before the server asked for a client certificate.
	BeforeTLS bool
}

// Blamed returns what made an attempt fail if it has nothing to do with a client
// certificate, such as "proxy"; otherwise it is empty.
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

// Who returns the subject of an attempt: the identity with its file, subject and
// expiry, or what failed before a certificate mattered.
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
