package trail

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/handshake"
)

// TestBlamed: what is no fault of a client certificate is not told behind the
// name of one.
func TestBlamed(t *testing.T) {
	t.Parallel()
	alert := func(a tls.AlertError) error { return &net.OpError{Op: "remote error", Err: a} }
	for name, row := range map[string]struct {
		attempt Attempt
		want    string
	}{
		"an answer":                    {Attempt{Status: 403}, "a.cert"},
		"a proxy's answer":             {Attempt{Err: fmt.Errorf("x: %w", &hostdir.ProxyError{Status: 403})}, "proxy"},
		"a proxy that is not there":    {Attempt{Err: &net.OpError{Op: "proxyconnect", Err: errors.New("refused")}}, "proxy"},
		"the server's certificate":     {Attempt{Err: &tls.CertificateVerificationError{Err: errors.New("no")}}, "server certificate"},
		"a name":                       {Attempt{Err: &net.DNSError{Err: "no such host"}}, "connection"},
		"a port":                       {Attempt{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, "connection"},
		"an alert before it asked":     {Attempt{Err: alert(handshake.Failure)}, "connection"},
		"an alert after it asked":      {Attempt{Err: alert(handshake.Failure), Asked: true}, "a.cert"},
		"an alert of a session":        {Attempt{Err: alert(handshake.Failure), Resumed: true}, "a.cert"},
		"an old TLS":                   {Attempt{Err: alert(handshake.ProtocolVersion)}, "connection"},
		"a refused certificate":        {Attempt{Err: alert(handshake.BadCertificate)}, "a.cert"},
		"one that was not presented":   {Attempt{Err: &net.DNSError{}, Skipped: "expired"}, "a.cert"},
		"a connection that was cut":    {Attempt{Err: &net.OpError{Op: "read", Err: errors.New("reset")}}, "a.cert"},
		"a handshake that never ended": {Attempt{Err: handshake.ErrTimeout}, "connection"},
	} {
		row.attempt.Identity = "a.cert"
		if who := row.attempt.Who(); who != row.want {
			t.Errorf("%s: %q, want %q", name, who, row.want)
		}
	}
}

func TestTrailIsBounded(t *testing.T) {
	t.Parallel()
	var trail Trail
	for i := range maxAttempts + 3 {
		if n := trail.Record(Attempt{Status: i}); n != i {
			t.Errorf("number %d, want %d", n, i)
		}
	}
	trail.Answer(0, "gone")
	trail.Answer(3, "third")
	got := trail.Attempts()
	if len(got) != maxAttempts || trail.Dropped() != 3 || got[0].Status != 3 || got[0].Answer != "third" {
		t.Errorf("%d attempts, %d dropped, first %+v", len(got), trail.Dropped(), got[0])
	}
}
