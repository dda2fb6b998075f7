package certsd

import (
	"crypto/x509"
)

// RootCAs are the CA roots the endpoint's server is verified against: those of
// CAs, the system's, or both. nil stands for the platform's verifier. The pool
// is shared: clone it to add to it.
func (e *Endpoint) RootCAs() *x509.CertPool { return e.roots }

// TrustsSystem tells that the system's CA roots are accepted.
func (e *Endpoint) TrustsSystem() bool { return len(e.CAs) == 0 || e.system != nil }
