package certsd

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
)

// alert is a TLS alert sent by a server.
type alert uint8

// The alerts that refuse a client certificate: RFC 8446, 6.2. Servers differ in
// which one they choose.
const (
	alertHandshakeFailure       alert = 40
	alertBadCertificate         alert = 42
	alertUnsupportedCertificate alert = 43
	alertCertificateRevoked     alert = 44
	alertCertificateExpired     alert = 45
	alertCertificateUnknown     alert = 46
	alertUnknownCA              alert = 48
	alertAccessDenied           alert = 49
	alertCertificateRequired    alert = 116

	// Those that end a handshake for want of something in common.
	alertProtocolVersion      alert = 70
	alertInsufficientSecurity alert = 71
)

// alertNoRenegotiation is what crypto/tls sends to a server that asks for a
// certificate in the middle of a connection.
const alertNoRenegotiation alert = 100

func (a alert) refusesCertificate() bool {
	switch a {
	case alertHandshakeFailure, alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked,
		alertCertificateExpired, alertCertificateUnknown, alertUnknownCA, alertAccessDenied, alertCertificateRequired:
		return true
	}
	return false
}

// remoteAlert returns the alert the server sent. An alert of a proxy on the way
// is none of the server's.
func remoteAlert(err error) (alert, bool) { return alertOf(err, "remote error") }

// ServerAlert returns the TLS alert with which a server ended a handshake or a
// connection, if that is what an error is about.
func ServerAlert(err error) (tls.AlertError, bool) {
	a, ok := remoteAlert(err)
	return tls.AlertError(a), ok
}

// AskedLate reports whether an error is that a server asked for a client certificate in
// the middle of a connection, which crypto/tls does not support.
func AskedLate(err error) bool {
	if a, ok := alertOf(err, "local error"); ok && a == alertNoRenegotiation {
		return true
	}
	a, ok := remoteAlert(err)
	return ok && a == alertNoRenegotiation
}

// alertOf finds the alert crypto/tls reports as a net.OpError with the given
// operation. Its type there is not exported; [tls.AlertError] has the same
// texts.
func alertOf(err error, op string) (alert, bool) {
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

func alertByText(text string) (alert, bool) {
	for a := range 256 {
		if tls.AlertError(a).Error() == text {
			return alert(a), true
		}
	}
	return 0, false
}

// cut reports whether a connection ended without a word: closed or reset by the
// server. Timeouts are not meant.
func cut(err error) bool {
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var opErr *net.OpError
	if errors.As(err, &opErr) {
		return opErr.Op == "read" || opErr.Op == "write"
	}
	// net/http does not export the error for a connection that was closed
	// before the first byte of an answer.
	return strings.Contains(err.Error(), "server closed idle connection")
}

// unusableError reports that a client certificate cannot be used with a server:
// it accepts none of the signature algorithms of its key.
type unusableError struct{ err error }

func (e *unusableError) Error() string {
	return "the server accepts no signature of this key's type: " + e.err.Error()
}

func (e *unusableError) Unwrap() error { return e.err }

func unusable(err error) (*unusableError, bool) {
	var unusable *unusableError
	ok := errors.As(err, &unusable)
	return unusable, ok
}
