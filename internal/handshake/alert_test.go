package handshake

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
)

// FuzzAlert takes for the alert of a server what crypto/tls calls that, by
// its text, and nothing that a proxy or this side has said.
func FuzzAlert(f *testing.F) {
	for a := range 256 {
		f.Add("remote error", tls.AlertError(a).Error(), uint8(a))
	}
	for _, op := range []string{"local error", "proxyconnect", "read", "", "Remote Error"} {
		f.Add(op, "tls: bad certificate", uint8(42))
	}
	f.Add("remote error", "tls: alert(300)", uint8(44))
	f.Add("remote error", "TLS: bad certificate", uint8(0))
	f.Fuzz(func(t *testing.T, op, text string, number uint8) {
		said := &net.OpError{Op: op, Err: errors.New(text)}
		a, ok := Alert(fmt.Errorf("in words: %w", said))
		if ok && (op != "remote error" || a.Error() != text) {
			t.Errorf("%q, %q: taken for %q", op, text, a)
		}
		if !ok && op == "remote error" && text == tls.AlertError(number).Error() {
			t.Errorf("%q was not seen", text)
		}
		if a, ok := Alert(&net.OpError{Op: "proxyconnect", Err: said}); ok {
			t.Errorf("%q of a proxy was taken for the server's", a)
		}
		if AskedLate(said) && !strings.HasSuffix(op, "error") {
			t.Errorf("%q, %q refuses a renegotiation", op, text)
		}
	})
}
