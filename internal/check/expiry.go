package check

import (
	"crypto/x509"
	"path/filepath"
	"slices"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// calendar says what of the validity of certificates is worth a word.
type calendar struct {
	now func() time.Time
	// within is the time in which an end is one, zero for a part of a certificate's life.
	within time.Duration
}

func (c *Checker) calendar() calendar {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return calendar{now, c.Expiring}
}

// endsSoon reports whether the end of a certificate, which has not come yet, is
// worth a warning.
func (c calendar) endsSoon(cert *x509.Certificate) bool {
	left := cert.NotAfter.Sub(c.now())
	if c.within > 0 {
		return left > 0 && left < c.within
	}
	return left > 0 && inuse.EndsSoon(cert.NotBefore, cert.NotAfter, c.now())
}

// expiring reports whether a certificate ends within the time that was asked
// for, or has ended.
func (c calendar) expiring(cert *x509.Certificate) bool {
	return c.within > 0 && cert.NotAfter.Sub(c.now()) < c.within
}

// endings finds the certificates of a file that end soon: of a client
// certificate those of its chain, too.
func (c calendar) endings(path, kind string, certs []*x509.Certificate) []Finding {
	code, next := ExpiresSoon, "renew it"
	switch kind {
	case kindClient:
	case kindCA:
		code, next = CAExpiresSoon, "put the CA that replaces it beside it, in a separate *.crt, before servers switch to it"
	default:
		return nil
	}
	var findings []Finding
	for i, cert := range certs {
		if !c.endsSoon(cert) {
			continue
		}
		f := Finding{Code: code, Where: path, Message: printable(cert.Subject.String()) + " " + validity(cert, c.now()), Next: next}
		if kind == kindClient && i > 0 {
			f.Message, f.Next = "the CA "+f.Message+", which signed the client certificate", "have the certificate reissued, with the chain of the CA that replaces this one"
		}
		findings = append(findings, f)
	}
	return findings
}

// expirySurvey finds the files whose certificates end soon.
type expirySurvey struct{ dossier }

// configured finds what ends soon of what counts for an endpoint.
func (s expirySurvey) configured(e *certsd.Endpoint) {
	for _, ca := range e.CAs {
		s.file(ca.File, kindCA, ca.Certificates)
	}
	for _, id := range e.Identities {
		s.file(id.CertFile, kindClient, s.files.examine(id.CertFile).Certificates)
	}
}

// unusable finds what ends soon in directories of which nothing counts,
// because something else is wrong with them: the next renewal is due all the same.
func (s expirySurvey) unusable() {
	for _, c := range s.inspection.Candidates {
		if c.State != hostdir.Used {
			continue
		}
		for _, name := range c.Files {
			path := filepath.Join(c.Path, name)
			if kind := s.files.kind(path); kind == kindCA || kind == kindClient {
				s.file(path, kind, s.files.examine(path).Certificates)
			}
		}
	}
}

func (s expirySurvey) file(path, kind string, certs []*x509.Certificate) {
	for _, f := range s.endings(path, kind, certs) {
		s.find(f)
	}
	s.report.Expiring = s.report.Expiring || slices.ContainsFunc(certs, s.expiring)
}
