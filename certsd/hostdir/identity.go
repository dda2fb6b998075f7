package hostdir

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Identity is a client certificate with its key.
type Identity struct {
	// Name is the base name of the certificate file, such as "client.cert". It
	// names the identity in errors, logs and metrics.
	Name string
	// CertFile and KeyFile are the files it was read from; they are the same if one
	// file holds both.
	CertFile, KeyFile string
	// Certificate is ready to be presented; its Leaf is set.
	Certificate *tls.Certificate

	// subject and issuer cache what Names returns, because each request reports them.
	subject, issuer string
	// reference identifies the key that the key file refers to, if the key is
	// elsewhere.
	reference [sha256.Size]byte
}

// maxName bounds the name of a certificate in a message, in characters.
const maxName = safetext.MaxName

// Leaf returns the parsed certificate, nil for none.
func (id *Identity) Leaf() *x509.Certificate {
	if id.Certificate == nil {
		return nil
	}
	return id.Certificate.Leaf
}

// Names returns the certificate's subject and issuer in a form that is safe to show.
func (id *Identity) Names() (subject, issuer string) {
	if id.subject != "" {
		return id.subject, id.issuer
	}
	leaf := id.Leaf()
	if leaf == nil {
		return "", ""
	}
	return safetext.Line(leaf.Subject.String(), maxName), safetext.Line(leaf.Issuer.String(), maxName)
}

// Invalid returns why the certificate is not valid at now, empty if it is.
func (id *Identity) Invalid(now time.Time) string {
	leaf := id.Leaf()
	switch {
	case leaf == nil:
	case now.After(leaf.NotAfter):
		return "expired on " + Day(leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		return "is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339)
	}
	return ""
}

// Problems returns the problems with the certificate's validity period and purpose.
func (id *Identity) Problems(now time.Time) []*Problem {
	leaf := id.Leaf()
	if leaf == nil {
		return nil
	}
	var problems []*Problem
	if p := outdated(id.CertFile, leaf, now); p != nil {
		problems = append(problems, p)
	}
	if len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0 ||
		slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return problems
	}
	p := &Problem{Code: NotForClients, File: id.CertFile, Err: fmt.Errorf("%s is not meant for client authentication", subject(leaf))}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		p.Err = fmt.Errorf("%s is a server's certificate: its extended key usage is serverAuth, and it is not meant for client authentication", subject(leaf))
		p.next = "replace it with a client certificate and key that were issued with the extended key usage clientAuth"
	}
	return append(problems, p)
}

// outdated returns a problem if now is outside of a certificate's validity period.
func outdated(file string, cert *x509.Certificate, now time.Time) *Problem {
	switch {
	case now.After(cert.NotAfter):
		return &Problem{Code: Expired, File: file, Err: fmt.Errorf("%s has expired on %s", subject(cert), Day(cert.NotAfter))}
	case now.Before(cert.NotBefore):
		return &Problem{Code: NotYetValid, File: file, Err: fmt.Errorf("%s is not valid before %s", subject(cert), cert.NotBefore.UTC().Format(time.RFC3339))}
	}
	return nil
}

func subject(cert *x509.Certificate) string {
	if text := cert.Subject.String(); text != "" {
		return text
	}
	return "the certificate"
}

// ServersOwn returns a problem if the identity is the server's own certificate.
func (id *Identity) ServersOwn(server *x509.Certificate) *Problem {
	if leaf := id.Leaf(); leaf == nil || server == nil || !leaf.Equal(server) {
		return nil
	}
	return &Problem{
		Code: NotForClients, File: id.CertFile,
		Err:  fmt.Errorf("%s is the server's own certificate, not a client certificate", subject(id.Leaf())),
		next: "replace it with a client certificate and key that were issued for this machine by a CA that the server accepts",
	}
}
