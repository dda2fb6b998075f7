package hostdir

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/pemfile"
)

// Reasons why a certificate or key cannot be used, as the cause inside a [Problem].
var (
	// ErrEncryptedKey reports that a key needs a pass phrase, which a daemon cannot ask
	// for.
	ErrEncryptedKey = nextstep.Told(errors.New("the private key is encrypted"), "decrypt it with "+decryption, "")
	// errKeyType reports that a key has a type that crypto/tls cannot sign with.
	errKeyType = errors.New("TLS takes keys of ECDSA, RSA and Ed25519")
	// errKeyMismatch reports that key and certificate do not belong together.
	errKeyMismatch = errors.New("the private key does not belong to the certificate")
)

// decryption is the command that decrypts a key whose file is not known.
const decryption = "openssl pkey -in KEY -out KEY.new && mv KEY.new KEY"

// maxKey is the largest size in DER of a private key. An RSA key of 16,384 bits has
// about 9,300 bytes; the time to check one grows with the cube of its size.
const maxKey = 16 << 10

// parsePair makes a client certificate from a certificate file and a key file. They may
// be the same file: in such a bundle the order does not matter. chain is the content of
// the certificate file, including the parts that cannot be used.
func parsePair(cert, key *file, open KeyOpener) (pair *tls.Certificate, chain *certificates, err error) {
	if isEncryptedKey(key.blocks()) {
		return nil, nil, ErrEncryptedKey
	}
	chain, err = cert.certificates()
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate file %w", err)
	}
	signer, err := openKey(key, chain.certs[0], open)
	if err != nil {
		return nil, nil, err
	}
	certs := chain.certs
	if cert == key {
		certs = leafFirst(certs, signer)
	}
	pair = &tls.Certificate{PrivateKey: signer, Leaf: certs[0]}
	if device, ok := signer.(DeviceKey); ok {
		pair.SupportedSignatureAlgorithms = device.SignatureSchemes()
	}
	for _, cert := range certs {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	if matches(certs[0], signer) {
		return pair, chain, nil
	}
	for i, cert := range certs[1:] {
		if matches(cert, signer) {
			return nil, nil, &orderError{i + 2}
		}
	}
	if note := chain.note(); note != nil {
		// The unreadable part may be the certificate of the key.
		return nil, nil, fmt.Errorf("the certificate file cannot be read completely: %w", note)
	}
	return nil, nil, errKeyMismatch
}

// orderError reports that the certificate of a key is not the first in its file.
type orderError struct {
	// at is the position of the certificate, counted from one.
	at int
}

func (e *orderError) Error() string {
	return fmt.Sprintf("%v: it belongs to certificate %d of the file, which must come first", errKeyMismatch, e.at)
}

// Unwrap makes the error an errKeyMismatch.
func (e *orderError) Unwrap() error { return errKeyMismatch }

// parseKey reads the first private key of a PEM file.
func parseKey(f *file) (crypto.Signer, error) {
	var others error
	for _, block := range f.blocks() {
		foreign, is := pemfile.Label(block.Label)
		switch {
		case block.Err != nil && (block.Label == "" || isKey(block.Label)):
			return nil, fmt.Errorf("the private key cannot be read: %w", block.Err)
		case is && strings.HasSuffix(block.Label, "PRIVATE KEY"):
			return nil, fmt.Errorf("the key file %w", foreign.For(f.path))
		case isKey(block.Label):
			key, err := parseKeyDER(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("the private key cannot be read: line %d: %w", block.Line, err)
			}
			return key, nil
		case is && others == nil:
			others = fmt.Errorf("the key file %w", foreign.For(f.path))
		}
	}
	switch {
	case others != nil:
		return nil, others
	case hasCertificate(f.blocks()):
		return nil, errors.New("the key file has no private key, only a certificate")
	}
	return nil, fmt.Errorf("the key file %w", pemfile.Recognise(f.data).For(f.path))
}

// parseKeyDER tries the three encodings whatever the block's label, as crypto/tls does.
func parseKeyDER(der []byte) (crypto.Signer, error) {
	if len(der) > maxKey {
		return nil, fmt.Errorf("it has %d bytes, and keys of more than %d are not read", len(der), maxKey)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("%w: X25519 cannot sign", errKeyType)
		}
		return signer, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if name := foreignKey(der); name != "" {
		return nil, fmt.Errorf("%w: it is of %s", errKeyType, name)
	}
	return nil, err
}

// keyTypes are the types of keys that OpenSSL generates but nothing here signs with.
var keyTypes = map[string]string{
	"1.2.840.10040.4.1":     "DSA",
	"1.2.840.113549.1.1.10": "RSA-PSS",
	"1.3.101.111":           "X448",
	"1.3.101.113":           "Ed448",
}

// foreignKey returns the type of a key in PKCS #8 or in OpenSSL's older form for DSA,
// empty if it is not one of [keyTypes].
func foreignKey(der []byte) string {
	var pkcs8 struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}
	if _, err := asn1.Unmarshal(der, &pkcs8); err == nil {
		return keyTypes[pkcs8.Algorithm.Algorithm.String()]
	}
	var dsa struct {
		Version       int
		P, Q, G, Y, X *big.Int
	}
	if _, err := asn1.Unmarshal(der, &dsa); err == nil {
		return "DSA"
	}
	return ""
}

func matches(cert *x509.Certificate, key crypto.Signer) bool {
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return pub.Equal(key.Public())
	case *ecdsa.PublicKey:
		return pub.Equal(key.Public())
	case ed25519.PublicKey:
		return pub.Equal(key.Public())
	}
	return false
}

// isKey reports whether a block is a private key, by its label.
func isKey(label string) bool { return strings.HasSuffix(label, "PRIVATE KEY") }

// isEncryptedKey recognises both encryptions of a PEM key: PKCS #8, RFC 5958, and the
// header of RFC 1421 that OpenSSL used before.
func isEncryptedKey(blocks []pemfile.Block) bool {
	for _, block := range blocks {
		if block.Label == "ENCRYPTED PRIVATE KEY" {
			return true
		}
		if isKey(block.Label) {
			return strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
		}
	}
	return false
}

func hasPrivateKey(blocks []pemfile.Block) bool {
	for _, block := range blocks {
		if isKey(block.Label) {
			return true
		}
	}
	return false
}

func hasCertificate(blocks []pemfile.Block) bool {
	for _, block := range blocks {
		if isCertificate(block.Label) {
			return true
		}
	}
	return false
}
