package hostdir

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// ClientChain is a client certificate with its CAs and the CAs that a server accepts.
type ClientChain struct {
	Identity *Identity
	// Accepts are the distinguished names, in DER, of the CAs from which the server
	// accepts client certificates; empty if it names none.
	Accepts [][]byte
	// CAs and Others are searched for a missing certificate.
	CAs    []CA
	Others []*Identity
}

// Problem returns a problem if the chain does not lead to a CA that the server, host,
// accepts; otherwise nil.
func (c ClientChain) Problem(host string) *Problem {
	chain := c.chain()
	if len(chain) == 0 {
		return nil
	}
	for _, cert := range chain {
		if c.accepts(cert.RawIssuer) || c.accepts(cert.RawSubject) {
			return nil
		}
	}
	top := chain[len(chain)-1]
	issuer, file := safetext.Line(top.Issuer.String(), maxName), c.Identity.CertFile
	if missing, from := c.find(top); missing != nil {
		p := &Problem{
			Code: IntermediateMissing, File: file,
			Err: fmt.Errorf("its chain stops below the intermediate CA %q, whose certificate is in %s but not in this file: %s cannot see that it leads to %s",
				issuer, from.file, host, c.names()),
			next: fmt.Sprintf("append the certificate of %q to %s, after the client's own", issuer, file),
		}
		if from.alone {
			p.next += ": cat " + plainfile.Quote(from.file) + " >> " + plainfile.Quote(file)
		}
		return p
	}
	said := "the server does not know it"
	if len(c.Accepts) > 0 {
		said = fmt.Sprintf("%s accepts certificates of %s", host, c.names())
	}
	if bytes.Equal(top.RawIssuer, top.RawSubject) {
		return &Problem{
			Code: IssuerNotListed, File: file, Err: fmt.Errorf("it is issued by %q, and %s", issuer, said),
			next: "get a certificate from a CA that the server accepts",
		}
	}
	return &Problem{
		Code: IssuerNotListed, File: file,
		Err: fmt.Errorf("it is issued by %q, whose certificate is not in the file, and %s", issuer, said),
		next: fmt.Sprintf("if %q is an intermediate CA, append its certificate to %s, after the client's own (cat INTERMEDIATE.crt >> %s); "+
			"if not, get a certificate from a CA that the server accepts", issuer, filepath.Base(file), plainfile.Quote(file)),
	}
}

// chain returns the client certificate and, in order, the CAs in its file that
// signed it.
func (c ClientChain) chain() []*x509.Certificate {
	leaf := c.Identity.Leaf()
	if leaf == nil {
		return nil
	}
	chain := []*x509.Certificate{leaf}
	for _, der := range c.Identity.Certificate.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil || !bytes.Equal(chain[len(chain)-1].RawIssuer, cert.RawSubject) {
			break
		}
		chain = append(chain, cert)
	}
	return chain
}

func (c ClientChain) accepts(name []byte) bool {
	return slices.ContainsFunc(c.Accepts, func(accepted []byte) bool { return bytes.Equal(accepted, name) })
}

// foundIn is the file where a certificate was found, and whether it is the only one
// there.
type foundIn struct {
	file  string
	alone bool
}

// find looks in CAs and Others for a CA that signed cert and was itself issued by a CA
// that the server accepts.
func (c ClientChain) find(cert *x509.Certificate) (*x509.Certificate, foundIn) {
	signed := func(parent *x509.Certificate) bool {
		return bytes.Equal(parent.RawSubject, cert.RawIssuer) && !bytes.Equal(parent.RawSubject, parent.RawIssuer) && cert.CheckSignatureFrom(parent) == nil &&
			(len(c.Accepts) == 0 || c.accepts(parent.RawIssuer))
	}
	for _, ca := range c.CAs {
		if i := slices.IndexFunc(ca.Certificates, signed); i >= 0 {
			return ca.Certificates[i], foundIn{ca.File, len(ca.Certificates) == 1}
		}
	}
	for _, id := range c.Others {
		for _, parent := range (ClientChain{Identity: id}).chain() {
			if signed(parent) {
				return parent, foundIn{id.CertFile, false}
			}
		}
	}
	return nil, foundIn{}
}

// names describes the CAs that the server accepts.
func (c ClientChain) names() string {
	if len(c.Accepts) == 0 {
		return "a CA that it accepts"
	}
	var names []string
	for _, der := range c.Accepts[:min(len(c.Accepts), maxAccepted)] {
		var rdn pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
			continue
		}
		var name pkix.Name
		name.FillFromRDNSequence(&rdn)
		names = append(names, fmt.Sprintf("%q", safetext.Line(name.String(), maxName)))
	}
	text := strings.Join(names, ", ")
	if more := len(c.Accepts) - maxAccepted; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// maxAccepted bounds the number of accepted CAs that names lists.
const maxAccepted = 20
