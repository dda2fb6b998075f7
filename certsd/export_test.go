package certsd

import (
	"crypto/x509"
)

// RootsOf are the roots an endpoint is verified against.
func RootsOf(e *Endpoint) *x509.CertPool { return e.roots }
