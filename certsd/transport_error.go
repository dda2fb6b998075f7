package certsd

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// VerificationError tells that the certificate of a server was not accepted.
// It wraps the error of crypto/x509.
type VerificationError struct {
	// Host is the host[:port] of the request, Dir the directory its settings
	// are from, empty if there is none.
	Host, Dir string
	// CAFiles are the files of CA roots looked at.
	CAFiles []string
	// SystemRoots tells that the system's were among the roots.
	SystemRoots bool
	// Hint is what to do.
	Hint string
	// Err is what crypto/tls says of the certificate.
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

// Unwrap is the cause.
func (e *VerificationError) Unwrap() error { return e.Err }

// RefusedError tells that a server refused each client certificate, or wants
// one and there is none. It wraps what came back last: an alert of crypto/tls,
// or the error of a connection that was cut.
type RefusedError struct {
	// Host is the host[:port] of the request, Dir the directory its settings
	// are from, empty if there is none.
	Host, Dir string
	// Attempts are the identities presented for this request, and those passed
	// over.
	Attempts []Attempt
	// Hint is what to do.
	Hint string
	// Err is what came back last.
	Err error
}

func (e *RefusedError) Error() string {
	var tried []string
	for _, a := range e.Attempts {
		switch {
		case a.Skipped != "":
			tried = append(tried, fmt.Sprintf("%s %s", a.Identity, a.Skipped))
		case a.Identity != "":
			tried = append(tried, a.who())
		}
	}
	text := fmt.Sprintf("%s: %v", e.Host, cleanError(e.Err))
	if len(tried) > 0 {
		text += fmt.Sprintf(": tried %s in %s", strings.Join(tried, ", "), e.Dir)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap is the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// cleanError is the text of an error that may hold words of a server's.
func cleanError(err error) string { return safetext.Line(err.Error(), maxURL) }

func isVerification(err error) bool {
	ok := errors.As(err, new(*tls.CertificateVerificationError))
	return ok
}

func (rd *round) refused(err error, last Attempt) error {
	return &RefusedError{Host: last.Host, Dir: last.Dir, Attempts: rd.attempts, Hint: last.Hint, Err: err}
}

func (rd *round) unverified(err error) error {
	e := &VerificationError{Host: rd.req.URL.Host, Dir: rd.ep.Dir, Err: err, Hint: rd.verificationHint(err)}
	for _, ca := range rd.ep.CAs {
		e.CAFiles = append(e.CAFiles, ca.File)
	}
	e.SystemRoots = len(rd.ep.CAs) == 0 || rd.ep.system != nil || rd.foreign && rd.ep.Dir == ""
	return e
}

// directory is where files for the host of the request belong: the directory
// they are from, else the one to create.
func (rd *round) directory() (path string, exists bool) {
	if rd.ep.Dir != "" {
		return rd.ep.Dir, true
	}
	root, roots := "certs.d", rd.hosts().Roots
	if roots == nil {
		roots = DefaultRoots()
	}
	if len(roots) > 0 {
		root = roots[0]
	}
	if rd.home != nil && slices.Contains(roots, filepath.Dir(rd.home.Dir)) {
		// Beside the registry's own it will be looked for.
		root = filepath.Dir(rd.home.Dir)
	}
	host := rd.at.bare()
	return filepath.Join(root, dirNames(runtime.GOOS, host)[0]), false
}

func (rd *round) verificationHint(err error) string {
	dir, exists := rd.directory()
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		if exists {
			return fmt.Sprintf("put the CA root that signed its certificate into %s as NAME.crt", dir)
		}
		return fmt.Sprintf("create the directory %s with the CA root that signed its certificate as NAME.crt", dir)
	}
	var named x509.HostnameError
	if errors.As(err, &named) && named.Certificate != nil {
		names := append([]string(nil), named.Certificate.DNSNames...)
		for _, ip := range named.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		if len(names) == 0 {
			return "its certificate has no subject alternative names: it has to be issued anew"
		}
		return safetext.Line("its certificate is for "+strings.Join(names, ", "), maxName)
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil {
		return fmt.Sprintf("%q is valid from %s to %s: renew it, or set this machine's clock",
			safetext.Line(invalid.Cert.Subject.String(), maxName), day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	}
	return ""
}

// hint says what to do after the last attempt of a round, if there is something
// to do.
func (rd *round) hint(a Attempt, o reply) string {
	switch {
	case isVerification(o.err):
		return rd.verificationHint(o.err)
	case refusesRenegotiation(o.err):
		return fmt.Sprintf("server %s asks for a client certificate in the middle of a connection, which Go does not support: "+
			"it has to ask for it on each connection (Apache: SSLVerifyClient outside of Location and Directory)", a.Host)
	case !refusal(o):
		return ""
	case a.Identity != "" && !a.Asked && !a.Resumed:
		return fmt.Sprintf("server %s did not ask for a client certificate: none of those in %s was presented", a.Host, a.Dir)
	case rd.shortKey(a.Identity, o.err) > 0:
		return fmt.Sprintf("server %s refused what it was offered from %s: its RSA key has %d bits; many servers refuse less than %d",
			a.Host, a.Dir, rd.shortKey(a.Identity, o.err), enoughBits)
	case a.Identity != "":
		return fmt.Sprintf("server %s refused what it was offered from %s: compare issuer and subject with what it accepts", a.Host, a.Dir)
	case !a.Asked && !(a.Resumed && rd.ep.state.asks.Load()):
		return ""
	}
	dir, exists := rd.directory()
	if exists {
		return fmt.Sprintf("server %s asked for a client certificate: put NAME.cert and NAME.key into %s", a.Host, dir)
	}
	hint := fmt.Sprintf("server %s asked for a client certificate: create the directory %s with NAME.cert and NAME.key", a.Host, dir)
	if rd.foreign && len(rd.ep.CAs) > 0 {
		// The registry's roots count for it as long as it has no directory.
		hint += ", and with the CA root that signed its certificate as NAME.crt unless the system has it"
	}
	return hint
}

// enoughBits is the length of an RSA key that security level 2 of OpenSSL, the
// default of Debian and others, asks for.
const enoughBits = 2048

// shortKey is the length of an identity's RSA key if that may be why a server
// called the certificate bad or unsupported, else zero.
func (rd *round) shortKey(name string, err error) int {
	if a, ok := remoteAlert(err); !ok || a != alertBadCertificate && a != alertUnsupportedCertificate {
		return 0
	}
	for _, id := range rd.ep.Identities {
		leaf := id.leaf()
		if id.Name != name || leaf == nil {
			continue
		}
		if key, ok := leaf.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < enoughBits {
			return key.N.BitLen()
		}
	}
	return 0
}

// refusal reports whether what came back may be about the certificate.
func refusal(o reply) bool {
	return o.err == nil && o.status == http.StatusForbidden || o.certificateRefused()
}
