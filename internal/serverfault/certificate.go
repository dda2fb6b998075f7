// Package serverfault explains what is wrong at a server to the people who can fix it:
// with its certificate (certificate.go), or with what it asks of a client
// (challenge.go). It makes no requests.
package serverfault

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Fault describes what is wrong with the certificate of a server, for those who can fix
// it.
type Fault struct {
	Kind Kind
	// Message says what is wrong, Next what to do, and where: at the server or
	// in the directory.
	Message, Next string
}

// Kind is the kind of a fault.
type Kind string

// The kinds of faults.
const (
	// UnknownAuthority: no accepted CA root has signed the certificate.
	UnknownAuthority Kind = "unknown-authority"
	// WrongName: the certificate has other names.
	WrongName Kind = "wrong-name"
	// ServerExpired: the certificate, or a CA above it, is outside of its validity
	// period.
	ServerExpired Kind = "server-expired"
	// ServerUnverified: any other fault.
	ServerUnverified Kind = "server-unverified"
)

// Chain is a server's certificate chain that was not accepted.
type Chain struct {
	// Chain is what the server sent, its own certificate first.
	Chain []*x509.Certificate
	// Err is the error of crypto/x509.
	Err error
	// Host is the host of the request, without a port.
	Host string
	// CAs are the CA roots of the directory; none means the system's.
	CAs []hostdir.CA
	// Dir is the directory where CA roots belong. NoDir reports whether it is missing.
	Dir   string
	NoDir bool
	// Now is the time to use; zero means the present.
	Now time.Time
}

// Fault finds out what is wrong. crypto/x509 calls every CA unknown that has not
// signed; this finds out why.
func (c Chain) Fault() Fault {
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	var named x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case len(c.Chain) == 0:
	case errors.As(c.Err, &named):
		return c.wrongName()
	case errors.As(c.Err, &invalid) && invalid.Cert != nil:
		return c.invalid(invalid)
	case errors.As(c.Err, new(x509.UnknownAuthorityError)):
		return c.unknown()
	}
	return Fault{Kind: ServerUnverified, Message: "its certificate is not accepted: " + safetext.Line(c.Err.Error(), safetext.MaxURL)}
}

// unknown follows the chain from the server's certificate to the first certificate
// without an issuer.
func (c Chain) unknown() Fault {
	cert := c.Chain[0]
	var broken *link
	for range c.Chain {
		next := (*x509.Certificate)(nil)
		for _, l := range c.parents(cert) {
			switch {
			case l.err == nil && l.file == "":
				next = l.parent
			case l.err != nil && (broken == nil || broken.child != cert || broken.file == ""):
				broken = &l
			}
		}
		if next == nil {
			break
		}
		cert = next
	}
	if broken != nil && broken.child == cert {
		return c.brokenLink(broken)
	}
	return c.missing(cert)
}

// link is a certificate, and one with the name of its issuer.
type link struct {
	child, parent *x509.Certificate
	// file is the CA file of the parent, empty if the server sent it.
	file string
	// err says why the parent did not sign the child, nil if it did.
	err error
}

// errEncoding reports two names that read the same but are encoded differently: RFC
// 5280, 7.1, lets verifiers compare the bytes, and they do.
var errEncoding = errors.New("the name is encoded otherwise")

// parents returns the certificates with the name of cert's issuer, even if it is
// encoded differently: OpenSSL writes UTF8String where others use PrintableString.
func (c Chain) parents(cert *x509.Certificate) []link {
	var links []link
	add := func(parent *x509.Certificate, file string) {
		same := bytes.Equal(parent.RawSubject, cert.RawIssuer)
		if !same && parent.Subject.String() != cert.Issuer.String() {
			return
		}
		err := cert.CheckSignatureFrom(parent)
		if err == nil && !same {
			err = errEncoding
		}
		links = append(links, link{cert, parent, file, err})
	}
	for _, ca := range c.CAs {
		for _, root := range ca.Certificates {
			add(root, ca.File)
		}
	}
	for _, sent := range c.Chain {
		if !sent.Equal(cert) {
			add(sent, "")
		}
	}
	return links
}

func (c Chain) brokenLink(l *link) Fault {
	f := Fault{Kind: ServerUnverified}
	issuer, where := name(l.parent), "which the server sends"
	if l.file != "" {
		where = "which is in " + l.file
	}
	var weak x509.InsecureAlgorithmError
	switch {
	case errors.As(l.err, &weak):
		f.Message = fmt.Sprintf("%s is signed with %s, which is no longer accepted", c.which(l.child), l.child.SignatureAlgorithm)
		f.Next = "have it reissued at the server, signed with SHA-256"
	case errors.As(l.err, new(x509.ConstraintViolationError)):
		f.Message = fmt.Sprintf("%s is signed by %q, %s and may not sign certificates: %s", c.which(l.child), issuer, where, mayNotSign(l.parent))
		f.Next = "have the CA's certificate reissued with CA:TRUE and keyCertSign, at the server and in " + c.Dir
	case errors.Is(l.err, errEncoding):
		f.Message = fmt.Sprintf("%s is signed by %q, %s, but writes that name in another encoding than the CA's certificate does: verifiers compare the bytes",
			c.which(l.child), issuer, where)
		f.Next = "have it reissued at the server, with the issuer's name as the CA's certificate has it"
	default:
		f.Kind = UnknownAuthority
		f.Message = fmt.Sprintf("%s is signed by %q: a CA of this name is known, %s, and its key has not signed this certificate: "+
			"the CA was made anew, or is another one of the same name", c.which(l.child), issuer, where)
		f.Next = "put the present certificate of that CA into " + c.Dir
		if l.file != "" {
			f.Next = fmt.Sprintf("get the present certificate of that CA from the registry's owner, and put it into %s beside %s, as NAME.crt", c.Dir, filepath.Base(l.file))
		}
	}
	return f
}

func mayNotSign(cert *x509.Certificate) string {
	if !cert.BasicConstraintsValid || !cert.IsCA {
		return "its basic constraints say CA:FALSE, or are missing"
	}
	return "its key usage lacks keyCertSign"
}

// missing returns the fault for a certificate whose issuer is not known.
func (c Chain) missing(cert *x509.Certificate) Fault {
	issuer := safetext.Line(cert.Issuer.String(), safetext.MaxName)
	roots := "the system's CA roots"
	switch {
	case len(c.CAs) > 0 && c.NoDir:
		// The roots of the registry that led there are used.
		roots = "the CA roots in " + filepath.Dir(c.CAs[0].File) + " or the system's"
	case len(c.CAs) > 0:
		roots = "the CA roots in " + c.Dir
	}
	f := Fault{Kind: UnknownAuthority, Message: fmt.Sprintf("its certificate is signed by %q, which is not among %s", issuer, roots), Next: c.put("that CA's certificate")}
	switch {
	case cert == c.Chain[0] && bytes.Equal(cert.RawSubject, cert.RawIssuer):
		f.Message = fmt.Sprintf("its certificate %q is signed by itself, and is not among %s", issuer, roots)
		f.Next = c.put("that certificate") + ", if it is the right server's"
	case cert == c.Chain[0]:
		f.Message += fmt.Sprintf(", and the server does not send the certificate of %q", issuer)
		f.Next += ", if it is a root CA; if it is an intermediate CA, fix it at the server, which must send it, too: after its own certificate in the same file"
		if len(cert.IssuingCertificateURL) > 0 {
			f.Next += fmt.Sprintf(" (its certificate says that one is at %s)", safetext.Line(cert.IssuingCertificateURL[0], safetext.MaxName))
		}
	}
	return f
}

// put returns how to put something into the directory.
func (c Chain) put(what string) string {
	if c.NoDir {
		return fmt.Sprintf("create the directory %s with %s as NAME.crt", c.Dir, what)
	}
	return fmt.Sprintf("put %s into %s as NAME.crt", what, c.Dir)
}

// which describes one of the server's certificates.
func (c Chain) which(cert *x509.Certificate) string {
	if cert == c.Chain[0] {
		return "its certificate"
	}
	return fmt.Sprintf("the CA certificate %q that it sends", name(cert))
}

func name(cert *x509.Certificate) string {
	return safetext.Line(cert.Subject.String(), safetext.MaxName)
}

// fileOf returns the CA file that a certificate is in.
func (c Chain) fileOf(cert *x509.Certificate) string {
	for _, ca := range c.CAs {
		if slices.ContainsFunc(ca.Certificates, cert.Equal) {
			return ca.File
		}
	}
	return ""
}

// invalid returns the fault for a certificate in the path, or a CA root, that is not
// valid.
func (c Chain) invalid(err x509.CertificateInvalidError) Fault {
	f := Fault{Kind: ServerUnverified}
	cert, who := err.Cert, "its certificate"
	if !cert.Equal(c.Chain[0]) {
		who = "the CA certificate it sends,"
		if file := c.fileOf(cert); file != "" {
			who = "the CA certificate in " + file + ","
		}
	}
	who = fmt.Sprintf("%s %q", who, name(cert))
	switch err.Reason {
	case x509.Expired:
		f.Kind = ServerExpired
		f.Message = who + " " + hostdir.Validity(cert, c.Now)
		f.Next = "have it renewed, or set this machine's clock"
		if file := c.fileOf(cert); file != "" {
			f.Next = fmt.Sprintf("put the CA's renewed certificate into %s in place of %s, or set this machine's clock", c.Dir, filepath.Base(file))
		}
	case x509.NotAuthorizedToSign:
		f.Message = fmt.Sprintf("%s may not sign certificates, but has signed one: %s", who, mayNotSign(cert))
		f.Next = "have the CA's certificate reissued with CA:TRUE and keyCertSign, at the server and in " + c.Dir
	case x509.IncompatibleUsage:
		f.Message = who + " is not for servers: its extended key usage lacks serverAuth"
		f.Next = "have it reissued at the server, with serverAuth"
	default:
		f.Message = fmt.Sprintf("%s is not accepted: %s", who, safetext.Line(err.Error(), safetext.MaxURL))
		f.Next = "have it reissued at the server"
	}
	return f
}

// wrongName returns the fault for a certificate with other names than the host's.
func (c Chain) wrongName() Fault {
	cert, host := c.Chain[0], c.Host
	f := Fault{Kind: WrongName}
	entry := "DNS:" + host
	address := net.ParseIP(strings.Trim(host, "[]"))
	if address != nil {
		entry = "IP:" + address.String()
	}
	anew := fmt.Sprintf("have it reissued with %s among its subject alternative names: subjectAltName=%s", host, entry)
	var names []string
	for _, dns := range cert.DNSNames {
		names = append(names, safetext.Line(dns, safetext.MaxName))
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch odd := oddName(cert.DNSNames, host, address); {
	case len(names) == 0:
		f.Message = "its certificate has no subject alternative names"
		if cert.Subject.CommonName != "" {
			f.Message += fmt.Sprintf(", and its common name %q does not count", safetext.Line(cert.Subject.CommonName, safetext.MaxName))
		}
		f.Next = anew
	case odd != "" && address != nil:
		f.Message = fmt.Sprintf("its certificate names %s as a DNS name (DNS:%s); an address has to be there as %s", host, safetext.Line(odd, safetext.MaxName), entry)
		f.Next = anew
	case odd != "":
		f.Message = fmt.Sprintf("its certificate has the name %q; the name of a host must be there alone, without scheme and port", safetext.Line(odd, safetext.MaxName))
		f.Next = anew
	default:
		f.Message = fmt.Sprintf("its certificate is for %s, not for %s", safetext.Line(strings.Join(names, ", "), safetext.MaxURL), host)
		f.Next = "use one of these names for the registry, or " + anew
	}
	return f
}

// oddName returns a DNS name in a certificate that was meant for the host but cannot
// match it: an address, or a name with a scheme or port.
func oddName(names []string, host string, address net.IP) string {
	for _, dns := range names {
		bare := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(dns, "https://"), "http://"), "/")
		if h, _, err := net.SplitHostPort(bare); err == nil {
			bare = h
		}
		bare = strings.Trim(bare, "[]")
		switch {
		case address != nil && address.Equal(net.ParseIP(bare)), bare != dns && strings.EqualFold(bare, host):
			return dns
		}
	}
	return ""
}
