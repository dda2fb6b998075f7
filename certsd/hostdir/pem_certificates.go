package hostdir

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"github.com/certsd/containerd-certsd/internal/pemfile"
)

// file is a PEM file as it was read.
type file struct {
	// path appears in messages.
	path string
	data []byte
	// vouches is the use that its certificates must be trusted for, nil for none.
	vouches asn1.ObjectIdentifier
	scanned []pemfile.Block
}

// blocks returns the PEM blocks of the file, scanning it once.
func (f *file) blocks() []pemfile.Block {
	if f.scanned == nil {
		f.scanned = pemfile.Scan(f.data)
	}
	return f.scanned
}

// certificates are the certificates in a PEM file.
type certificates struct {
	certs []*x509.Certificate
	// bad are the parts that were meant as certificates but cannot be read.
	bad []badBlock
}

// badBlock is a part of a PEM file that cannot be used, identified by its checksum.
type badBlock struct {
	err error
	sum [sha256.Size]byte
}

// maxNotes is the number of unusable parts of a file that are listed one by one.
const maxNotes = 3

// note describes the parts of the file that cannot be used, nil for none.
func (c *certificates) note() error {
	var errs []error
	for i, bad := range c.bad {
		if i == maxNotes {
			errs = append(errs, fmt.Errorf("and %d more", len(c.bad)-i))
			break
		}
		errs = append(errs, bad.err)
	}
	return oneLine(errs)
}

// oneLine joins errors without line breaks between them.
func oneLine(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return &joined{strings.Join(texts, "; "), errs}
}

// joined is several errors in one line.
type joined struct {
	text string
	errs []error
}

func (j *joined) Error() string   { return j.text }
func (j *joined) Unwrap() []error { return j.errs }

// knownBad are the parts that could not be used when the file was last read.
type knownBad map[[sha256.Size]byte]bool

// known returns the bad parts of c by checksum.
func (c *certificates) known() knownBad {
	known := knownBad{}
	for _, bad := range c.bad {
		known[bad.sum] = true
	}
	return known
}

// torn reports whether c has bad parts that are not in known: the file may be half
// written.
func (c *certificates) torn(known knownBad) bool {
	for _, bad := range c.bad {
		if !known[bad.sum] {
			return true
		}
	}
	return false
}

// certificates reads all certificates of a PEM file. Other blocks are skipped, as is
// text around them. It is an error if no certificate can be used.
func (f *file) certificates() (*certificates, error) {
	c := new(certificates)
	total := 0
	for _, block := range f.blocks() {
		lost := func(err error) {
			c.bad = append(c.bad, badBlock{err, sha256.Sum256(append(block.Raw, block.Bytes...))})
		}
		foreign, is := pemfile.Label(block.Label)
		switch {
		case block.Err != nil && (block.Label == "" || strings.Contains(block.Label, "CERTIFICATE")):
			total++
			lost(block.Err)
		case block.Err != nil:
		case isCertificate(block.Label):
			total++
			cert, err := parseCertificate(block, f.vouches)
			if err != nil {
				lost(fmt.Errorf("line %d: certificate %d cannot be read: %w", block.Line, total, err))
				continue
			}
			c.certs = append(c.certs, cert)
		case !is && !isKey(block.Label) && isX509(block.Bytes):
			total++
			lost(fmt.Errorf("line %d: certificate %d has the label %.40q instead of CERTIFICATE", block.Line, total, block.Label))
		case is && foreign.Certificates:
			// The command to convert it would lose the rest of the file.
			lost(fmt.Errorf("line %d: %s", block.Line, foreign.What))
		}
	}
	switch {
	case len(c.certs) > 0:
		return c, nil
	case len(c.bad) == 1 && len(f.blocks()) == 1:
		if foreign, is := pemfile.Label(f.blocks()[0].Label); is {
			return nil, foreign.For(f.path)
		}
		fallthrough
	case len(c.bad) > 0:
		return nil, fmt.Errorf("has no certificate that can be read: %w", c.note())
	}
	return nil, f.withoutCertificate()
}

// withoutCertificate describes what a file contains instead of a certificate.
func (f *file) withoutCertificate() error {
	for _, block := range f.blocks() {
		if isKey(block.Label) {
			return errors.New("has no certificate, only a private key")
		}
		if foreign, is := pemfile.Label(block.Label); is {
			return foreign.For(f.path)
		}
	}
	return pemfile.Recognise(f.data).For(f.path)
}

// isCertificate reports whether a block is a certificate, by its label: today's, its
// predecessor, and OpenSSL's for certificates with trust settings.
func isCertificate(label string) bool {
	return label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == trustedCertificate
}

// isX509 reports whether a block is a certificate, by its content.
func isX509(der []byte) bool {
	_, err := x509.ParseCertificate(der)
	return err == nil
}

const trustedCertificate = "TRUSTED CERTIFICATE"

func parseCertificate(block pemfile.Block, vouches asn1.ObjectIdentifier) (*x509.Certificate, error) {
	if block.Label != trustedCertificate {
		return x509.ParseCertificate(block.Bytes)
	}
	var raw asn1.RawValue
	settings, err := asn1.Unmarshal(block.Bytes, &raw)
	if err != nil {
		return nil, err
	}
	if err := trustedFor(vouches, settings); vouches != nil && err != nil {
		return nil, err
	}
	return x509.ParseCertificate(raw.FullBytes)
}

// Uses in trust settings (extended key usages).
var (
	clientAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}
	serverAuth = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	anyUse     = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
)

// trustedFor returns an error if the settings that OpenSSL appends to a TRUSTED
// CERTIFICATE do not allow a use: X509_CERT_AUX, described in openssl-x509(1) under
// "Trust settings".
func trustedFor(wanted asn1.ObjectIdentifier, der []byte) error {
	if len(der) == 0 {
		return nil
	}
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return fmt.Errorf("its trust settings: %w", err)
	}
	var trust, reject []asn1.ObjectIdentifier
	rest := outer.Bytes
	for len(rest) > 0 {
		var part asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &part); err != nil {
			return fmt.Errorf("its trust settings: %w", err)
		}
		switch {
		case part.Class == asn1.ClassUniversal && part.Tag == asn1.TagSequence:
			_, err = asn1.Unmarshal(part.FullBytes, &trust)
		case part.Class == asn1.ClassContextSpecific && part.Tag == 0:
			_, err = asn1.UnmarshalWithParams(part.FullBytes, &reject, "tag:0")
		}
		if err != nil {
			return fmt.Errorf("its trust settings: %w", err)
		}
	}
	for _, use := range reject {
		if use.Equal(wanted) || use.Equal(anyUse) {
			return errors.New("its trust settings reject it for " + users(wanted))
		}
	}
	for _, use := range trust {
		if use.Equal(wanted) || use.Equal(anyUse) {
			return nil
		}
	}
	if len(trust) > 0 {
		return errors.New("its trust settings are for other uses than " + users(wanted))
	}
	return nil
}

// users names whom a CA with a use vouches for.
func users(use asn1.ObjectIdentifier) string {
	if use.Equal(clientAuth) {
		return "clients"
	}
	return "servers"
}
