// Package certtest is a throw-away certificate authority for tests and for the
// demonstration. Nothing it issues is meant to outlive the process.
//
// The functions panic if crypto/rand or crypto/x509 fails: with generated keys and our
// own templates that is a bug, not a condition to handle.
package certtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// CA is a certificate authority.
type CA struct {
	Cert *x509.Certificate
	// PEM is Cert in PEM, ready to be written to a NAME.crt file.
	PEM []byte

	key crypto.Signer
}

// Request describes a certificate to issue. Its zero value is a certificate
// for client and server use without names, valid from an hour ago for a day.
type Request struct {
	CommonName string
	// Names are the subject alternative names: DNS names, IP addresses or URIs.
	Names []string
	// NotBefore and NotAfter default to an hour ago and a day from now.
	NotBefore, NotAfter time.Time
	// ServerOnly omits client authentication from the uses.
	ServerOnly bool
}

// Pair is a certificate with its private key.
type Pair struct {
	Cert    *x509.Certificate
	CertPEM []byte
	KeyPEM  []byte
	// TLS is the pair in the form for a tls.Config, with Leaf set.
	TLS tls.Certificate
}

// NewCA returns an authority with the given common name.
func NewCA(name string) *CA { return NewLongCA(name, time.Time{}) }

// NewLongCA returns an authority that is valid until end, or for a day if that is zero.
func NewLongCA(name string, end time.Time) *CA {
	key := newKey()
	tmpl := template(Request{CommonName: name, NotAfter: end})
	tmpl.IsCA = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	tmpl.ExtKeyUsage = nil
	cert := sign(tmpl, tmpl, key.Public(), key)
	return &CA{Cert: cert, PEM: certPEM(cert), key: key}
}

// Intermediate returns an authority signed by this one.
func (ca *CA) Intermediate(name string) *CA {
	key := newKey()
	tmpl := template(Request{CommonName: name})
	tmpl.IsCA = true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	tmpl.ExtKeyUsage = nil
	cert := sign(tmpl, ca.Cert, key.Public(), ca.key)
	return &CA{Cert: cert, PEM: certPEM(cert), key: key}
}

// Issue returns a certificate signed by the authority.
func (ca *CA) Issue(r Request) *Pair {
	key := newKey()
	cert := sign(template(r), ca.Cert, key.Public(), ca.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	return &Pair{
		Cert:    cert,
		CertPEM: certPEM(cert),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		TLS:     tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
	}
}

// Client issues a client certificate with the given common name.
func (ca *CA) Client(commonName string) *Pair {
	return ca.Issue(Request{CommonName: commonName})
}

// Certify issues a client certificate, in PEM, for a key that is elsewhere.
func (ca *CA) Certify(commonName string, public crypto.PublicKey) []byte {
	return certPEM(sign(template(Request{CommonName: commonName}), ca.Cert, public, ca.key))
}

// Server issues a server certificate for the given DNS names and addresses.
func (ca *CA) Server(names ...string) *Pair {
	return ca.Issue(Request{CommonName: names[0], Names: names})
}

// Pool returns a pool with only the authority's certificate.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return pool
}

// Write writes the pair to dir as name.cert and name.key, as a certs.d directory
// requires.
func (p *Pair) Write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".cert"), p.CertPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), p.KeyPEM, 0o600)
}

// Write writes the authority's certificate to dir as name.crt.
func (ca *CA) Write(dir, name string) error {
	return os.WriteFile(filepath.Join(dir, name+".crt"), ca.PEM, 0o644)
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func template(r Request) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	check(err)
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: r.CommonName},
		NotBefore:             r.NotBefore,
		NotAfter:              r.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if r.ServerOnly {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if t.NotBefore.IsZero() {
		t.NotBefore = now.Add(-time.Hour)
	}
	if t.NotAfter.IsZero() {
		t.NotAfter = now.Add(24 * time.Hour)
	}
	for _, name := range r.Names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else if strings.Contains(name, "://") {
			u, err := url.Parse(name)
			check(err)
			t.URIs = append(t.URIs, u)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t
}

func sign(tmpl, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	check(err)
	cert, err := x509.ParseCertificate(der)
	check(err)
	return cert
}

func certPEM(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("certtest: %v", err))
	}
}

// KeyPEM returns the authority's private key in PEM.
func (ca *CA) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	check(err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Certificate parses a certificate in PEM.
func Certificate(data []byte) *x509.Certificate {
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	check(err)
	return cert
}
