package check

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// endsSoon reports whether the end of a certificate, which has not come yet, is
// worth a warning.
func (c *Checker) endsSoon(cert *x509.Certificate) bool {
	left := cert.NotAfter.Sub(c.now())
	if c.Expiring > 0 {
		return left > 0 && left < c.Expiring
	}
	return left > 0 && inuse.EndsSoon(cert.NotBefore, cert.NotAfter, c.now())
}

// expiring reports whether a certificate ends within the time that was asked
// for, or has ended.
func (c *Checker) expiring(cert *x509.Certificate) bool {
	return c.Expiring > 0 && cert.NotAfter.Sub(c.now()) < c.Expiring
}

// endings finds the certificates of a file that end soon: of a client
// certificate those of its chain, too.
func (c *Checker) endings(path, kind string, certs []*x509.Certificate) []Finding {
	code, next := ExpiresSoon, "renew it"
	switch kind {
	case kindClient:
	case kindCA:
		code, next = CAExpiresSoon, "put the CA that follows it beside it, in a *.crt of its own, before servers change to it"
	default:
		return nil
	}
	var findings []Finding
	for i, cert := range certs {
		if !c.endsSoon(cert) {
			continue
		}
		f := Finding{Severity: isWarning, Code: code, Where: path, Message: printable(cert.Subject.String()) + " " + validity(cert, c.now()), Next: next}
		if kind == kindClient && i > 0 {
			f.Message, f.Next = "the CA "+f.Message+", which signed the client certificate", "have the certificate issued anew, with the chain of the CA that follows"
		}
		findings = append(findings, f)
	}
	return findings
}

// configuredEndings finds what ends soon of what counts for an endpoint.
func (r *run) configuredEndings(e *certsd.Endpoint) {
	for _, ca := range e.CAs {
		r.fileEndings(ca.File, kindCA, ca.Certificates)
	}
	for _, id := range e.Identities {
		r.fileEndings(id.CertFile, kindClient, r.files.examine(id.CertFile).Certificates)
	}
}

// unusableEndings finds what ends soon in directories of which nothing counts,
// because something else is wrong with them: the next renewal is due all the same.
func (r *run) unusableEndings() {
	for _, c := range r.inspection.Candidates {
		if c.State != hostdir.Used {
			continue
		}
		for _, name := range c.Files {
			path := filepath.Join(c.Path, name)
			if kind := r.files.kind(path); kind == kindCA || kind == kindClient {
				r.fileEndings(path, kind, r.files.examine(path).Certificates)
			}
		}
	}
}

func (r *run) fileEndings(path, kind string, certs []*x509.Certificate) {
	for _, f := range r.endings(path, kind, certs) {
		r.find(f)
	}
	r.report.Expiring = r.report.Expiring || slices.ContainsFunc(certs, r.expiring)
}

// serverEndings finds the certificates that a server showed and that end soon.
func (r *run) serverEndings(host string, chain []*x509.Certificate) {
	for i, cert := range chain {
		r.report.Expiring = r.report.Expiring || r.expiring(cert)
		if !r.endsSoon(cert) {
			continue
		}
		f := Finding{
			Severity: isWarning, Code: ServerExpiresSoon, Where: host, Next: "have it renewed at the server",
			Message: fmt.Sprintf("its certificate %q %s", printable(cert.Subject.String()), validity(cert, r.now())),
		}
		if i > 0 {
			f.Message = fmt.Sprintf("the CA %q that it shows %s", printable(cert.Subject.String()), validity(cert, r.now()))
			f.Next = "have its certificate issued anew, with the chain of the CA that follows"
		}
		r.find(f)
	}
}
