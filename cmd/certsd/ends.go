package main

import (
	"crypto/x509"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/resolver"
)

// warnOfEnds sets hooks that warn once of each certificate in use that ends soon: of
// clients, servers and CAs.
func warnOfEnds(hooks *resolver.Hooks, printf func(format string, args ...any)) {
	var mu sync.Mutex
	said := map[string]bool{}
	warn := func(what string, cert *x509.Certificate) {
		now := time.Now()
		if cert == nil || now.After(cert.NotAfter) || !status.EndsSoon(cert.NotBefore, cert.NotAfter, now) {
			return
		}
		mu.Lock()
		first := !said[what]
		said[what] = true
		mu.Unlock()
		if first {
			printf("warning: %s %s", what, status.Ends(cert.NotAfter, now))
		}
	}
	hooks.OnUse = func(host *certsd.Host) {
		for _, ep := range host.Endpoints {
			for _, id := range ep.Identities {
				warn(id.CertFile, id.Leaf())
			}
		}
	}
	hooks.Transport.OnHandshake = func(h certsd.Handshake) {
		warn("the certificate of the server "+h.Host, h.Server)
		name := h.CAFile
		if name == "" && h.CA != nil {
			name = "the CA " + h.CA.Subject.String()
		}
		warn(name, h.CA)
	}
}
