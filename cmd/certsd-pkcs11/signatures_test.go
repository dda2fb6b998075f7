package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// TestOneSignatureForAPull counts what OpenSC's spy sees of the token: the signatures
// that begin, each of which is asked for its length and then for itself.
func TestOneSignatureForAPull(t *testing.T) {
	spies, _ := filepath.Glob("/usr/lib/*/pkcs11-spy.so")
	if len(spies) == 0 {
		citest.Missing(t, "opensc is not installed")
	}
	tok := newToken(t)
	seen := filepath.Join(tok.dir, "seen")
	t.Setenv("PKCS11SPY", tok.module)
	t.Setenv("PKCS11SPY_OUTPUT", seen)
	s := newServer(t, os.Args[0])
	s.Resume()
	s.pair(t, s.Clients.Certify("alpha", tok.key("k", "EC:prime256v1")), strings.Replace(tok.uri("k"), tok.module, spies[0], 1))
	s.Pulls(t, func() int {
		data, err := os.ReadFile(seen)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte(": C_SignInit\n"))
	})
}
