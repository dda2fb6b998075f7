package certsd

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// vouched returns the certificate of a server, and the root that it was verified
// by, nil for none.
func vouched(state tls.ConnectionState) (server, ca *x509.Certificate) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	server = state.PeerCertificates[0]
	if len(state.VerifiedChains) == 0 {
		return server, nil
	}
	chain := state.VerifiedChains[0]
	return server, chain[len(chain)-1]
}

// rootFile is the file that a root is from, empty for one of the system's.
func rootFile(root *x509.Certificate, targets [2]*target) string {
	if root == nil {
		return ""
	}
	for _, e := range targets {
		if e == nil {
			continue
		}
		for _, ca := range e.CAs {
			if slices.ContainsFunc(ca.Certificates, root.Equal) {
				return ca.File
			}
		}
	}
	return ""
}
