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

// calendar decides which ends of certificates are worth reporting.
type calendar struct {
	now func() time.Time
	// within is how near an end must be, zero for a part of the certificate's life.
	within time.Duration
}

func (c *Checker) calendar() calendar {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return calendar{now, c.Expiring}
}

// endsSoon reports whether a certificate has not ended but ends soon enough for a
// warning.
func (c calendar) endsSoon(cert *x509.Certificate) bool {
	left := cert.NotAfter.Sub(c.now())
	if c.within > 0 {
		return left > 0 && left < c.within
	}
	return left > 0 && inuse.EndsSoon(cert.NotBefore, cert.NotAfter, c.now())
}

// expiring reports whether a certificate has ended or ends within the time asked for.
func (c calendar) expiring(cert *x509.Certificate) bool {
	return c.within > 0 && cert.NotAfter.Sub(c.now()) < c.within
}

// endings finds the certificates of a file that end soon; the chain of a client
// certificate counts, too.
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

// expirySurvey finds the files with certificates that end soon.
type expirySurvey struct{ dossier }

// configured finds the certificates of an endpoint that end soon.
func (s expirySurvey) configured(e *certsd.Endpoint) {
	for _, ca := range e.CAs {
		s.file(ca.File, kindCA, ca.Certificates)
	}
	for _, id := range e.Identities {
		s.file(id.CertFile, kindClient, s.files.examine(id.CertFile).Certificates)
	}
}

// unusable finds the certificates that end soon in directories that another problem
// makes unusable: the next renewal is due all the same.
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
