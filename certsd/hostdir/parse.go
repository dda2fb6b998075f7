package hostdir

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
)

// ParsePair makes a certificate from a PEM file and its key file, by the rules for
// client certificates in host directories. The paths serve for messages. lost describes
// the parts of the chain that cannot be used, nil for none.
func ParsePair(certFile string, cert []byte, keyFile string, key []byte) (pair *tls.Certificate, lost, err error) {
	pair, chain, err := parsePair(&file{path: certFile, data: cert}, &file{path: keyFile, data: key}, nil)
	if err != nil {
		return nil, nil, err
	}
	return pair, chain.note(), nil
}

// ParseCAs returns the CA roots in a PEM file that may vouch for servers, by the rules
// of host directories. The path serves for messages. lost describes the parts of the
// file that cannot be used, nil for none.
func ParseCAs(path string, data []byte) (cas []*x509.Certificate, lost, err error) {
	return parseCertificates(path, data, serverAuth)
}

// ParseCertificates is [ParseCAs] for certificates with any trust settings.
func ParseCertificates(path string, data []byte) (certs []*x509.Certificate, lost, err error) {
	return parseCertificates(path, data, nil)
}

// ParseClientCAs is [ParseCAs] for roots that may vouch for clients.
func ParseClientCAs(path string, data []byte) (cas []*x509.Certificate, lost, err error) {
	return parseCertificates(path, data, clientAuth)
}

func parseCertificates(path string, data []byte, use asn1.ObjectIdentifier) (cas []*x509.Certificate, lost, err error) {
	read, err := (&file{path: path, data: data, vouches: use}).certificates()
	if err != nil {
		return nil, nil, err
	}
	return read.certs, read.note(), nil
}
