package handshake

import (
	"crypto/tls"
	"errors"
	"net"
)

// The alerts that refuse a client certificate: RFC 8446, 6.2. Servers differ in
// which one they choose.
const (
	Failure                tls.AlertError = 40
	BadCertificate         tls.AlertError = 42
	UnsupportedCertificate tls.AlertError = 43
	CertificateRevoked     tls.AlertError = 44
	CertificateExpired     tls.AlertError = 45
	CertificateUnknown     tls.AlertError = 46
	UnknownCA              tls.AlertError = 48
	AccessDenied           tls.AlertError = 49
	CertificateRequired    tls.AlertError = 116
)

// Those that end a handshake for want of something in common.
const (
	ProtocolVersion      tls.AlertError = 70
	InsufficientSecurity tls.AlertError = 71
)

// noRenegotiation is what crypto/tls sends to a server that asks for a
// certificate in the middle of a connection.
const noRenegotiation tls.AlertError = 100

// RefusesCertificate reports whether an alert may refuse a client certificate.
func RefusesCertificate(a tls.AlertError) bool {
	switch a {
	case Failure, BadCertificate, UnsupportedCertificate, CertificateRevoked, CertificateExpired, CertificateUnknown,
		UnknownCA, AccessDenied, CertificateRequired:
		return true
	}
	return false
}

// Alert returns the TLS alert with which a server ended a handshake or a
// connection, if that is what an error is about. An alert of a proxy on the way
// is none of the server's.
func Alert(err error) (tls.AlertError, bool) { return alertOf(err, "remote error") }

// BeforeCertificate reports whether a server ended the handshake before it asked
// for a client certificate: no cipher suite, curve or version of TLS in common.
// asked reports whether it asked for one.
func BeforeCertificate(err error, asked bool) bool {
	a, ok := Alert(err)
	return ok && (a == Failure || a == ProtocolVersion || a == InsufficientSecurity) && !asked
}

// AskedLate reports whether an error is that a server asked for a client certificate in
// the middle of a connection, which crypto/tls does not support.
func AskedLate(err error) bool {
	if a, ok := alertOf(err, "local error"); ok && a == noRenegotiation {
		return true
	}
	a, ok := Alert(err)
	return ok && a == noRenegotiation
}

// alertOf finds the alert crypto/tls reports as a net.OpError with the given
// operation. Its type there is not exported; [tls.AlertError] has the same
// texts.
func alertOf(err error, op string) (tls.AlertError, bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		opErr, ok := err.(*net.OpError) //nolint:errorlint // each link of the chain is looked at
		switch {
		case !ok || opErr.Err == nil:
		case opErr.Op == "proxyconnect":
			return 0, false
		case opErr.Op == op:
			return alertByText(opErr.Err.Error())
		}
	}
	return 0, false
}

func alertByText(text string) (tls.AlertError, bool) {
	for n := range 256 {
		if a := tls.AlertError(n); a.Error() == text {
			return a, true
		}
	}
	return 0, false
}
