package hostdir

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io/fs"
)

// File is the content of a file in a host directory, whatever its name.
type File struct {
	// Path is the file.
	Path string
	// Mode holds its permissions.
	Mode fs.FileMode
	// Certificates are the certificates that can be read.
	Certificates []*x509.Certificate
	// Key is the type of the private key, such as "ECDSA P-256", "encrypted" or
	// "unreadable". For a file that only refers to its key it is "in a TPM" or "in a
	// PKCS #11 token". It is empty without a key.
	Key string
	// Elsewhere reports that the key is not in the file.
	Elsewhere bool
	// Err is why the file could not be read.
	Err error

	signer crypto.Signer
}

// Examine reads a file for a report on the configuration. Its result reveals only the
// type of a private key.
func (h *Hosts) Examine(path string) File {
	f := File{Path: path}
	info, err := h.disk.Stat(path)
	if err != nil {
		f.Err = cause(err)
		return f
	}
	f.Mode = info.Mode()
	data, err := h.disk.ReadFile(path)
	if err != nil {
		f.Err = cause(err)
		return f
	}
	// The inspection's problems report the blocks that cannot be read.
	read := &file{path: path, data: data}
	if c, err := read.certificates(); err == nil {
		f.Certificates = c.certs
	}
	if f.Key, f.Elsewhere = read.isElsewhere(); f.Elsewhere {
		return f
	}
	f.Key, f.signer = keyIn(read)
	return f
}

// HasKey reports whether the file holds a private key that can be read.
func (f File) HasKey() bool { return f.signer != nil }

// HasKeyOf reports whether the file's private key belongs to a certificate.
func (f File) HasKeyOf(cert *x509.Certificate) bool {
	return f.signer != nil && matches(cert, f.signer)
}

// keyIn returns the type of the private key in a file, and the key.
func keyIn(f *file) (string, crypto.Signer) {
	if !hasPrivateKey(f.blocks()) {
		return "", nil
	}
	if isEncryptedKey(f.blocks()) {
		return "encrypted", nil
	}
	key, err := parseKey(f)
	if err != nil {
		return "unreadable", nil
	}
	return keyType(key.Public()), key
}

// keyType returns the type and size of a public key.
func keyType(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}

// KeyType returns the type and size of a certificate's key.
func KeyType(cert *x509.Certificate) string { return keyType(cert.PublicKey) }
