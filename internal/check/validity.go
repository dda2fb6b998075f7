package check

import (
	"crypto/x509"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// certificate describes a certificate.
func (c calendar) certificate(cert *x509.Certificate) Certificate {
	d := Certificate{
		Subject: printable(cert.Subject.String()), Issuer: printable(cert.Issuer.String()),
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(),
		Validity: validity(cert, c.now()), KeyType: hostdir.KeyType(cert),
	}
	d.Names = namesOf(cert)
	return d
}

// namesOf returns the subject alternative names.
func namesOf(cert *x509.Certificate) []string {
	var names []string
	for _, name := range cert.DNSNames {
		names = append(names, printable(name))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, printable(uri.String()))
	}
	for _, mail := range cert.EmailAddresses {
		names = append(names, printable(mail))
	}
	return names
}

// validity returns the validity of a certificate in words.
func validity(cert *x509.Certificate, now time.Time) string { return hostdir.Validity(cert, now) }
