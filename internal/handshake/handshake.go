// Package handshake classifies connection errors: an alert with which the server ended
// a TLS handshake, a connection that was cut, a server or proxy that was not reached.
// crypto/tls and net hide most of that in texts and unexported types; alert.go reads
// the alerts, handshake.go the rest.
package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Timeout is how long a handshake may take, as in containerd's
// docker.DefaultHTTPTransport.
const Timeout = 10 * time.Second

// ErrTimeout reports that a handshake took longer than Timeout. It is a net.Error. Its
// text differs from net/http's, which makes containerd fall back to plain HTTP: a slow
// server is not one without TLS.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string {
	return fmt.Sprintf("the server did not complete the TLS handshake within %s", Timeout)
}
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// Unverified reports whether the certificate of the server was not accepted.
func Unverified(err error) bool {
	ok := errors.As(err, new(*tls.CertificateVerificationError))
	return ok
}

// ProxyFailed reports whether a proxy could not be reached.
func ProxyFailed(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect")
}

// NotConnected reports whether no connection was made: the name was not resolved, the
// address or port not reached, or the handshake timed out.
func NotConnected(err error) bool {
	var op *net.OpError
	return errors.As(err, new(*net.DNSError)) || errors.As(err, &op) && op.Op == "dial" || errors.Is(err, ErrTimeout)
}

// Cut reports whether the server closed or reset a connection without an alert or
// answer. Timeouts do not count.
func Cut(err error) bool {
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
