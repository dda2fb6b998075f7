package certsd

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/trail"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// VerificationError reports that the certificate of a server was not accepted. It wraps
// the error of crypto/tls.
type VerificationError struct {
	// Host is the host[:port] of the request, Dir the directory with its settings,
	// empty for none.
	Host, Dir string
	// CAFiles are the files of CA roots that were tried.
	CAFiles []string
	// SystemRoots reports whether the system's roots were among them.
	SystemRoots bool
	// Hint is the next step for a person.
	Hint string
	// Err is the error of crypto/tls.
	Err error
}

func (e *VerificationError) Error() string {
	roots := append([]string(nil), e.CAFiles...)
	if e.SystemRoots {
		roots = append(roots, "the system's roots")
	}
	text := fmt.Sprintf("%s: cannot verify the server: %v (looked at %s)", e.Host, cleanError(e.Err), strings.Join(roots, ", "))
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *VerificationError) Unwrap() error { return e.Err }

// RefusedError reports that a server refused every client certificate, or required one
// and there was none. It wraps the last failure: an alert of crypto/tls, or the error
// of a connection that was cut.
type RefusedError struct {
	// Host is the host[:port] of the request, Dir the directory with its settings,
	// empty for none.
	Host, Dir string
	// Attempts are the identities presented for this request, and those passed
	// over.
	Attempts []Attempt
	// Hint is the next step for a person.
	Hint string
	// Err is the last failure, nil if none is known.
	Err error
}

func (e *RefusedError) Error() string {
	var tried []string
	for _, a := range e.Attempts {
		switch {
		case a.Skipped != "":
			tried = append(tried, fmt.Sprintf("%s %s", a.Identity, a.Skipped))
		case a.Identity != "":
			tried = append(tried, a.Who())
		}
	}
	parts := []string{e.Host}
	for _, p := range trail.Faults(e.Attempts) {
		parts = append(parts, p.Told())
	}
	text := strings.Join(append(parts, cleanError(e.Err)), ": ")
	if len(tried) > 0 {
		text += fmt.Sprintf(": tried %s in %s", strings.Join(tried, ", "), e.Dir)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// cleanError returns the text of an error that may quote a server.
func cleanError(err error) string { return safetext.Line(err.Error(), safetext.MaxURL) }

// diagnosis explains the last answer of a round and what to do about it. It changes
// nothing.
type diagnosis struct{ *round }

// explain wraps an error with what a user needs to act on it. Network errors stay as
// they are.
func (rd diagnosis) explain(o reply, last Attempt) error {
	switch {
	case refuses(o), handshake.AskedLate(o.err):
		return rd.refused(o.err, last)
	case handshake.Unverified(o.err):
		return rd.unverified(o.err)
	}
	return o.err
}

func (rd diagnosis) refused(err error, last Attempt) error {
	return &RefusedError{Host: last.Host, Dir: last.Dir, Attempts: rd.attempts, Hint: last.Hint, Err: err}
}

func (rd diagnosis) unverified(err error) error {
	e := &VerificationError{Host: rd.req.URL.Host, Dir: rd.route.to.Dir, Err: err, Hint: rd.verificationHint(err)}
	for _, ca := range rd.route.to.CAs {
		e.CAFiles = append(e.CAFiles, ca.File)
	}
	e.SystemRoots = rd.route.to.TrustsSystem() || rd.route.foreign && rd.route.to.Dir == ""
	return e
}

// belongs returns the directory where files for the request's host belong, and whether
// it exists: the one in use, or else the one to create.
func (rd diagnosis) belongs() (path string, exists bool) {
	if rd.route.to.Dir != "" {
		return rd.route.to.Dir, true
	}
	beside := ""
	if home := rd.route.home; home != nil {
		beside = home.Dir
	}
	return rd.transport.hosts().Belongs(rd.route.at.Bare(), beside)
}

// verificationHint returns what is wrong with the server's certificate, and what to do.
func (rd diagnosis) verificationHint(err error) string {
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) {
		return ""
	}
	dir, exists := rd.belongs()
	if handshake.ProxyFailed(err) {
		// The advice about a server's certificate does not apply to a proxy's.
		return "it is the certificate of the proxy that cannot be verified: put its CA's into " + dir + " as NAME.crt, or " +
			rd.route.to.Proxy.Unreachable(rd.req.URL.Hostname())
	}
	f := serverfault.Chain{Chain: unverified.UnverifiedCertificates, Err: unverified.Err, Host: rd.req.URL.Hostname(), CAs: rd.route.to.CAs, Dir: dir, NoDir: !exists}.Fault()
	if f.Next == "" {
		return f.Message
	}
	return f.Message + ": " + f.Next
}

// hint returns the next step after the last attempt of a round, empty if none is known.
func (rd diagnosis) hint(a Attempt, o reply) string {
	var proxy *ProxyError
	switch {
	case handshake.Unverified(o.err):
		return rd.verificationHint(o.err)
	case errors.As(o.err, &proxy):
		return proxy.Hint()
	case handshake.ProxyFailed(o.err):
		return rd.route.to.Proxy.Unreachable(rd.req.URL.Hostname())
	case handshake.BeforeCertificate(o.err, a.Asked || a.Resumed):
		return serverfault.NothingInCommon
	case a.BeforeTLS && !handshake.AskedLate(o.err):
		return serverfault.NoTLS(o.err, a.Host)
	case handshake.AskedLate(o.err):
		return fmt.Sprintf("server %s asks for a client certificate in the middle of a connection, which Go does not support: "+
			"it must ask at the start of each connection (Apache: move SSLVerifyClient out of Location and Directory)", a.Host)
	case o.err == nil && o.status == http.StatusUnauthorized:
		reason, next := rd.unanswerable(o.header)
		if reason == "" {
			return ""
		}
		return fmt.Sprintf("server %s answers 401 %s: %s", a.Host, reason, next)
	case !refusal(o):
		return ""
	case a.Identity != "" && !a.Asked && !a.Resumed && o.version == tls.VersionTLS13:
		return fmt.Sprintf("server %s did not ask for a client certificate: none of those in %s was presented (over TLS 1.3, an Apache with SSLVerifyClient "+
			"inside Location asks too late for Go and answers like this: move it outside)", a.Host, a.Dir)
	case a.Identity != "" && !a.Asked && !a.Resumed:
		return fmt.Sprintf("server %s did not ask for a client certificate: none of those in %s was presented", a.Host, a.Dir)
	case rd.shortKey(a.Identity, o.err) > 0:
		return fmt.Sprintf("server %s refused the client certificate from %s: its RSA key has %d bits, and many servers refuse fewer than %d",
			a.Host, a.Dir, rd.shortKey(a.Identity, o.err), enoughBits)
	case a.Identity != "" && rd.allFaulty(a.Faults):
		return "" // their problems are reported already
	case rd.letIn():
		return "" // the result is a 404, and another name may be tried
	case a.Identity != "":
		return fmt.Sprintf("server %s refused the client certificates from %s: compare their issuer and subject with what the server accepts", a.Host, a.Dir)
	case !a.Asked && !(a.Resumed && rd.route.to.state.asks.Load()):
		return ""
	}
	dir, exists := rd.belongs()
	if exists {
		return fmt.Sprintf("server %s asked for a client certificate: put NAME.cert and NAME.key into %s", a.Host, dir)
	}
	hint := fmt.Sprintf("server %s asked for a client certificate: create the directory %s with NAME.cert and NAME.key", a.Host, dir)
	if rd.route.foreign && len(rd.route.to.CAs) > 0 {
		// Without a directory the host uses the registry's roots; with one it will not.
		hint += ", and with the CA root that signed its certificate as NAME.crt unless the system has it"
	}
	return hint
}

// letIn reports whether an identity got a 404 in this round: it was not refused,
// whatever the answers to later ones.
func (rd diagnosis) letIn() bool {
	return slices.ContainsFunc(rd.attempts, func(a Attempt) bool { return a.Skipped == "" && a.Err == nil && a.Status == http.StatusNotFound })
}

// enoughBits is the length of an RSA key that OpenSSL's security level 2, the
// default of Debian and others, requires.
const enoughBits = 2048

// shortKey returns the length of an identity's RSA key if that may be why a server
// called the certificate bad or unsupported, otherwise zero.
func (rd diagnosis) shortKey(name string, err error) int {
	if a, ok := handshake.Alert(err); !ok || a != handshake.BadCertificate && a != handshake.UnsupportedCertificate {
		return 0
	}
	for _, id := range rd.route.to.Identities {
		leaf := id.Leaf()
		if id.Name != name || leaf == nil {
			continue
		}
		if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < enoughBits {
			return key.N.BitLen()
		}
	}
	return 0
}

// refusal reports whether a reply may be about the certificate.
func refusal(o reply) bool {
	return o.err == nil && o.status == http.StatusForbidden || o.certificateRefused()
}
