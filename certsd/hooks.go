package certsd

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// Hooks observe a [Transport]. Nil functions are not called; the others may be
// called concurrently, and from requests and handshakes, so they should return
// soon.
type Hooks struct {
	// OnAttempt is called for each identity that was presented, when its outcome is
	// known, and for each that was passed over.
	OnAttempt func(Attempt)
	// OnRotate is called before the next identity is presented.
	OnRotate func(Rotation)
	// OnRound is called when all of a request's attempts have been made, with
	// the request's context.
	OnRound func(context.Context, Round)
	// OnHandshake is called after each TLS handshake that the client completed. With
	// TLS 1.3 a server may still refuse the certificate afterwards.
	OnHandshake func(Handshake)
	// OnWarning is called with problems that do not make a request fail: a
	// *[PassedOverError], once for each certificate.
	OnWarning func(error)
}

// Rotation is a step from one identity to the next.
type Rotation struct {
	// Host is the host[:port] of the request.
	Host string
	// From and To are the names of the identities.
	From, To string
	// Reason is the outcome for From, one of a small set: a status such as "403",
	// "alert 42", "connection cut".
	Reason string
}

// Round is one request, with the identities presented for it one after
// another.
type Round struct {
	// Registry is the registry on whose behalf the request was made, Host the
	// host[:port] it went to, Repository its repository, empty for none.
	Registry, Host, Repository string
	// Start is when it began.
	Start time.Time
	// Attempts are the identities in order, including those passed over. The outcome of
	// the last is the request's. There is at least one.
	Attempts []Attempt
	// Learnt reports whether the last identity was not refused and will be presented
	// first for the repository from now on, instead of another or none.
	Learnt bool
	// Downgrade says in which ways the request trusted more than was configured.
	Downgrade Downgrade
	// From is the Hosts that looked the registry up. Foreign reports whether the
	// request went to a host that an endpoint led to, instead of an endpoint.
	From    *Hosts
	Foreign bool
}

// Downgrade is a set of ways to trust a server beyond its directory's CA roots, or
// without verification.
type Downgrade uint8

const (
	// SkippedVerify means that the server's certificate was not verified because a
	// hosts.toml says so.
	SkippedVerify Downgrade = 1 << iota
	// UnverifiedLocalhost means that it was not verified because the server is on
	// this machine and nothing is configured for it.
	UnverifiedLocalhost
	// AppendedSystemRoots means that the system's CA roots are trusted in addition to
	// the configured ones.
	AppendedSystemRoots
	// SpokePlainHTTP means that plain HTTP was used although no hosts.toml gives an
	// http:// address that allows nothing else.
	SpokePlainHTTP
)

// Has reports whether the set contains all of the given ways.
func (d Downgrade) Has(some Downgrade) bool { return d&some == some }

// PassedOverError reports that a certificate is not presented because it has expired or
// is not yet valid, and another one is left.
type PassedOverError struct {
	// Host is the host[:port], Identity the name of the identity, File its file.
	Host, Identity, File string
	// Reason says why.
	Reason string
}

func (e *PassedOverError) Error() string {
	return fmt.Sprintf("%s: passed over, because it %s", e.File, e.Reason)
}

// Handshake is a completed TLS handshake.
type Handshake struct {
	// Host is the host[:port] connected to, Identity the name of the identity to
	// present, empty if there was none.
	Host, Identity string
	// Resumed reports whether an earlier session was resumed.
	Resumed bool
	// Server is the server's certificate and CA the root that verified it, nil without
	// verification. They must not be changed.
	Server, CA *x509.Certificate
	// CAFile is the file that CA is from, empty for one of the system's.
	CAFile string
}
