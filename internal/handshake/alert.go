package handshake

import (
	"crypto/tls"
	"errors"
	"net"
)

// Alerts that refuse a client certificate: RFC 8446, 6.2. Servers differ in their
// choice.
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

// Alerts that end a handshake for lack of a common version or cipher suite.
const (
	ProtocolVersion      tls.AlertError = 70
	InsufficientSecurity tls.AlertError = 71
)

// noRenegotiation is the alert that crypto/tls sends to a server that asks for a
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

// Alert returns the TLS alert with which a server ended a handshake or a connection, if
// err reports one. An alert of a proxy does not count.
func Alert(err error) (tls.AlertError, bool) { return alertOf(err, "remote error") }

// BeforeCertificate reports whether a server ended the handshake for lack of a common
// cipher suite, curve or TLS version. asked reports whether it had asked for a client
// certificate, which rules that out.
func BeforeCertificate(err error, asked bool) bool {
	a, ok := Alert(err)
	return ok && (a == Failure || a == ProtocolVersion || a == InsufficientSecurity) && !asked
}

// AskedLate reports whether a server asked for a client certificate in the middle of a
// connection, which crypto/tls does not support.
func AskedLate(err error) bool {
	if a, ok := alertOf(err, "local error"); ok && a == noRenegotiation {
		return true
	}
	a, ok := Alert(err)
	return ok && a == noRenegotiation
}

// alertOf finds the alert that crypto/tls reports as a net.OpError with the given
// operation. Its type there is not exported, but [tls.AlertError] has the same texts.
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
