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

// KeyFile stands for the file of a private key, and says where the key
// is: a TPM key, or the URI of one in a token.
type KeyFile struct {
	// Path is the file, Data what it holds.
	Path string
	Data []byte
	// Certificate is the one that the key is to sign for.
	Certificate *x509.Certificate
}

// KeyOpener makes signers of keys that are no files. It returns neither a signer
// nor an error for a file that it knows nothing of. Nothing is asked to sign
// before a server wants a certificate: what can be said about the file alone
// should be said at once, and the rest by an error of Sign.
//
// A signer may implement [DeviceKey]. It may be used concurrently, and must not
// take long: a handshake has 10 seconds.
type KeyOpener func(KeyFile) (crypto.Signer, error)

// DeviceKey is a key that a device or a helper signs with.
type DeviceKey interface {
	crypto.Signer
	// Device says where the key is, such as "TPM /dev/tpmrm0". It holds no secret.
	Device() string
	// SignatureSchemes are what it can sign by, nil for all of its type.
	SignatureSchemes() []tls.SignatureScheme
}

// KeyError reports that a key that is no file did not sign.
type KeyError struct {
	// File says where the key is, Device is what it is in.
	File, Device string
	// Err is why it did not sign.
	Err error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("%s: the %s did not sign: %v", e.File, e.Device, e.Err)
}

// Next is what to do about it, empty if nothing can be said.
func (e *KeyError) Next() string {
	return nextstep.Of(e.Err)
}

// Unwrap is the cause.
func (e *KeyError) Unwrap() error { return e.Err }

// tpmKey is the label of a key that only the TPM it was made for can use.
const tpmKey = "TSS2 PRIVATE KEY"

// aURI is how a file begins that names a key by URI.
var aURI = regexp.MustCompile(`^\s*pkcs11:`)

// isElsewhere reports whether a file says where a key is, and what it is.
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

// openKey is the private key of a certificate: that in a file, or the one that a
// file tells of.
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

// elsewhereError is about a key that is no file.
type elsewhereError struct{ error }

func (e *elsewhereError) Unwrap() error { return e.error }

// next is what to do about it.
func (e *elsewhereError) next() string {
	return cmp.Or(nextstep.Of(e.error), "correct the key file, or the TPM or token that it refers to")
}

// errKeyElsewhere reports that there is no way to a key.
var errKeyElsewhere = errors.New("the private key is not in the file, and this program cannot use it where it is")

// reference tells apart what files say about keys that are elsewhere; it is
// zero for a key in the file.
func (f *file) reference() (sum [sha256.Size]byte) {
	if _, is := f.isElsewhere(); is {
		sum = sha256.Sum256(f.data)
	}
	return sum
}

// Device says where the key is that is no file, empty for one that is.
func (id *Identity) Device() string {
	if key, ok := id.Certificate.PrivateKey.(DeviceKey); ok {
		return key.Device()
	}
	return ""
}

// TrySigning lets a key that is no file sign something that is of no use to
// anybody, and verifies it. The error is a [*KeyError]; nil for a key that is a
// file, which was compared with its certificate when it was read.
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

// leafFirst puts the certificate of a key in front of the others, whose order
// stays.
func leafFirst(certs []*x509.Certificate, key crypto.Signer) []*x509.Certificate {
	i := slices.IndexFunc(certs, func(cert *x509.Certificate) bool { return matches(cert, key) })
	if i <= 0 {
		return certs
	}
	return slices.Concat(certs[i:i+1], certs[:i], certs[i+1:])
}
