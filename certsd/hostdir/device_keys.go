package hostdir

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/certsd/containerd-certsd/internal/nextstep"
)

// KeyFile is a file that refers to a private key instead of holding it: a TPM key,
// or the URI of a key in a token.
type KeyFile struct {
	// Path is the file, Data its content.
	Path string
	Data []byte
	// Certificate is the certificate of the key.
	Certificate *x509.Certificate
}

// KeyOpener opens keys that are not stored in files. For a kind of file that it does
// not know it returns neither a signer nor an error. The key is not used until a server
// asks for a certificate: the opener should report immediately only what is wrong with
// the file itself, and everything else as an error of Sign.
//
// A signer may implement [DeviceKey]. It may be used concurrently, and must not take
// long: a handshake must finish within 10 seconds.
type KeyOpener func(KeyFile) (crypto.Signer, error)

// DeviceKey is a key that a device or a helper signs with.
type DeviceKey interface {
	crypto.Signer
	// Device says where the key is, such as "TPM /dev/tpmrm0". It holds no secret.
	Device() string
	// SignatureSchemes returns the schemes that it can sign with, nil for all of its
	// key type.
	SignatureSchemes() []tls.SignatureScheme
}

// KeyError reports that a key in a device failed to sign.
type KeyError struct {
	// File is the key file; Device says where the key is.
	File, Device string
	// Err is the cause.
	Err error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("%s: the %s did not sign: %v", e.File, e.Device, e.Err)
}

// Next returns the next step, empty if none is known.
func (e *KeyError) Next() string {
	return nextstep.Of(e.Err)
}

// Unwrap returns the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// tpmKey is the PEM label of a key that only the TPM it was made for can use.
const tpmKey = "TSS2 PRIVATE KEY"

// aURI matches the beginning of a file that names a key by URI.
var aURI = regexp.MustCompile(`^\s*pkcs11:`)

// isElsewhere reports whether a file only refers to its key, and describes where the
// key is.
func (f *file) isElsewhere() (what string, is bool) {
	if aURI.Match(f.data) {
		return "in a PKCS #11 token", true
	}
	for _, block := range f.blocks() {
		if isKey(block.Label) {
			return "in a TPM", block.Label == tpmKey
		}
	}
	return "", false
}

// openKey returns the private key of a certificate: the one in the file, or the one
// that the file refers to.
func openKey(f *file, cert *x509.Certificate, open KeyOpener) (crypto.Signer, error) {
	what, is := f.isElsewhere()
	if !is {
		return parseKey(f)
	}
	var key crypto.Signer
	var err error
	if open != nil {
		key, err = open(KeyFile{Path: f.path, Data: bytes.Clone(f.data), Certificate: cert})
	}
	switch {
	case err != nil:
		return nil, &elsewhereError{fmt.Errorf("%s: %w", filepath.Base(f.path), err)}
	case key == nil:
		return nil, &elsewhereError{fmt.Errorf("%w: it is %s", errKeyElsewhere, what)}
	}
	return key, nil
}

// elsewhereError is an error about a key that is not in its file.
type elsewhereError struct{ error }

func (e *elsewhereError) Unwrap() error { return e.error }

// next returns the next step.
func (e *elsewhereError) next() string {
	return cmp.Or(nextstep.Of(e.error), "correct the key file, or the TPM or token that it refers to")
}

// errKeyElsewhere reports that this program cannot open a key that is not in its file.
var errKeyElsewhere = errors.New("the private key is not in the file, and this program cannot use it where it is")

// reference returns a sum that identifies the key that a file refers to; it is zero for
// a key in the file itself.
func (f *file) reference() (sum [sha256.Size]byte) {
	if _, is := f.isElsewhere(); is {
		sum = sha256.Sum256(f.data)
	}
	return sum
}

// Device returns where the key is, empty if it is in its file.
func (id *Identity) Device() string {
	if key, ok := id.Certificate.PrivateKey.(DeviceKey); ok {
		return key.Device()
	}
	return ""
}

// TrySigning makes a device sign random data, which is of no use to anybody, and
// verifies the signature. The error is a [*KeyError]. For a key in a file it returns
// nil: that key was compared with its certificate when it was read.
func (id *Identity) TrySigning(rand io.Reader) error {
	key, ok := id.Certificate.PrivateKey.(DeviceKey)
	if !ok {
		return nil
	}
	err := trySigning(rand, key, id.Leaf())
	if err != nil {
		return &KeyError{File: id.KeyFile, Device: key.Device(), Err: err}
	}
	return nil
}

// leafFirst moves the certificate that belongs to key to the front and keeps the order
// of the others.
func leafFirst(certs []*x509.Certificate, key crypto.Signer) []*x509.Certificate {
	i := slices.IndexFunc(certs, func(cert *x509.Certificate) bool { return matches(cert, key) })
	if i <= 0 {
		return certs
	}
	return slices.Concat(certs[i:i+1], certs[:i], certs[i+1:])
}
