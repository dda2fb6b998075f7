package certsd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Reasons for which a certificate or key cannot be used. They are the cause
// inside a [Problem].
var (
	// ErrEncryptedKey tells that a key needs a pass phrase. A daemon has nobody
	// to ask for it.
	ErrEncryptedKey = errors.New("the private key is encrypted: decrypt it with openssl pkey -in KEY -out KEY")
	// ErrKeyMismatch tells that key and certificate do not belong together.
	ErrKeyMismatch = errors.New("the private key does not belong to the certificate")
)

// parseCertificates reads all certificates of a PEM file. Other blocks are
// passed over, as is text around them. A certificate that crypto/x509 refuses
// is an error when it is the only one, and a note otherwise.
func parseCertificates(data []byte) (certs []*x509.Certificate, note, err error) {
	var bad error
	var total int
	for block := range pemBlocks(data) {
		switch block.Type {
		case "CERTIFICATE":
			total++
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				bad = errors.Join(bad, fmt.Errorf("certificate %d cannot be read: %w", total, err))
				continue
			}
			certs = append(certs, cert)
		case "TRUSTED CERTIFICATE":
			bad = errors.Join(bad, errors.New("an OpenSSL TRUSTED CERTIFICATE: convert it with openssl x509"))
		}
	}
	switch {
	case len(certs) > 0:
		return certs, bad, nil
	case bad != nil:
		return nil, nil, bad
	default:
		return nil, nil, errors.New(noCertificate(data))
	}
}

// noCertificate says what a file without a certificate looks like instead.
func noCertificate(data []byte) string {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "is empty"
	case bytes.HasPrefix(data, []byte{0x30, 0x82}) || bytes.HasPrefix(data, []byte{0x30, 0x83}):
		return "is not PEM but looks like DER: convert it with openssl x509 -inform der"
	case hasPrivateKey(data):
		return "has no certificate, only a private key"
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return "has no readable PEM certificate"
	default:
		return "is not PEM"
	}
}

// parsePair makes a client certificate of a certificate file and a key file,
// which may be the same.
func parsePair(certPEM, keyPEM []byte) (*tls.Certificate, error) {
	if isEncryptedKey(keyPEM) {
		return nil, ErrEncryptedKey
	}
	certs, _, err := parseCertificates(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the certificate file %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, err
	}
	pair := &tls.Certificate{PrivateKey: key, Leaf: certs[0]}
	for _, cert := range certs {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	if !matches(certs[0], key) {
		for i, cert := range certs[1:] {
			if matches(cert, key) {
				return nil, fmt.Errorf("%w: it belongs to certificate %d of the file, which must come first", ErrKeyMismatch, i+2)
			}
		}
		return nil, ErrKeyMismatch
	}
	return pair, nil
}

// parseKey reads the first private key of a PEM file.
func parseKey(data []byte) (crypto.Signer, error) {
	for block := range pemBlocks(data) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		key, err := parseKeyDER(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the private key cannot be read: %w", err)
		}
		return key, nil
	}
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return nil, errors.New("the key file is empty")
	case bytes.Contains(data, []byte("-----BEGIN ")):
		return nil, errors.New("the key file has no readable PEM private key")
	default:
		return nil, errors.New("the key file is not PEM")
	}
}

// parseKeyDER tries the three encodings whatever the block is called, as
// crypto/tls does.
func parseKeyDER(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("a %T cannot sign", key)
		}
		return signer, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, err
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

// isEncryptedKey recognises both ways to encrypt a PEM key: PKCS #8, RFC 5958,
// and the header of RFC 1421 that OpenSSL used before.
func isEncryptedKey(data []byte) bool {
	for block := range pemBlocks(data) {
		if block.Type == "ENCRYPTED PRIVATE KEY" {
			return true
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
		}
	}
	return false
}

func hasPrivateKey(data []byte) bool {
	for block := range pemBlocks(data) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
	return false
}

func pemBlocks(data []byte) func(yield func(*pem.Block) bool) {
	return func(yield func(*pem.Block) bool) {
		for {
			var block *pem.Block
			block, data = pem.Decode(data)
			if block == nil || !yield(block) {
				return
			}
		}
	}
}

func hasCertificate(data []byte) bool {
	for block := range pemBlocks(data) {
		if block.Type == "CERTIFICATE" {
			return true
		}
	}
	return false
}
