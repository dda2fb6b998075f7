package tpmkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-tpm/tpm2"

	"github.com/certsd/containerd-certsd/internal/verify"
)

// Key is a key of a TPM. It implements certsd's DeviceKey.
type Key struct {
	tpm *TPM
	*parsed

	// mu guards the fields below.
	mu sync.Mutex
	// saved is the command that reloads the key from the context that the TPM saved,
	// encrypted for itself; nil before the first load.
	saved []byte
	// locked reports whether the key has a password. The TPM is not asked again then:
	// it counts attempts as guesses, and would stop answering anybody.
	locked bool
	// proven holds the manners in which a signature has been verified: an error in
	// one would be in all.
	proven map[manner]bool
	// raw reports whether this process pads for RSA-PSS, to choose the salt.
	raw bool
}

// Open parses a key file. It fails if the key cannot be used here, or has a password
// as far as the file, or a TPM that answers, says so.
func (t *TPM) Open(data []byte) (*Key, error) {
	p, err := parse(data)
	if err != nil {
		return nil, err
	}
	k := &Key{tpm: t, parsed: p, proven: map[manner]bool{}}
	if k.doubtful {
		// Debian's tpm2_encodeobject writes this for keys without a password,
		// OpenSSL's provider for those with one: only the TPM knows.
		hash := crypto.SHA256
		if _, err := k.Sign(nil, make([]byte, hash.Size()), hash); errors.Is(err, ErrPassword) {
			return nil, err
		}
	}
	return k, nil
}

// Public implements crypto.Signer.
func (k *Key) Public() crypto.PublicKey { return k.key }

// Device describes where the key is.
func (k *Key) Device() string { return "TPM " + k.tpm.name() }

// algorithms maps the signature schemes of TLS to the TPM's names.
var algorithms = []struct {
	tls    tls.SignatureScheme
	scheme tpm2.TPMAlgID
	hash   tpm2.TPMAlgID
	curve  string
}{
	{tls.PSSWithSHA256, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA256, ""},
	{tls.PSSWithSHA384, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA384, ""},
	{tls.PSSWithSHA512, tpm2.TPMAlgRSAPSS, tpm2.TPMAlgSHA512, ""},
	{tls.PKCS1WithSHA256, tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA256, ""},
	{tls.PKCS1WithSHA384, tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA384, ""},
	{tls.PKCS1WithSHA512, tpm2.TPMAlgRSASSA, tpm2.TPMAlgSHA512, ""},
	{tls.ECDSAWithP256AndSHA256, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA256, "P-256"},
	{tls.ECDSAWithP384AndSHA384, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA384, "P-384"},
	{tls.ECDSAWithP521AndSHA512, tpm2.TPMAlgECDSA, tpm2.TPMAlgSHA512, "P-521"},
}

// SignatureSchemes returns the schemes that the key's restrictions allow.
func (k *Key) SignatureSchemes() []tls.SignatureScheme {
	curve := ""
	if key, ok := k.key.(*ecdsa.PublicKey); ok {
		curve = key.Curve.Params().Name
	}
	var schemes []tls.SignatureScheme
	for _, a := range algorithms {
		if a.curve == curve && (k.scheme == 0 || k.scheme == a.scheme) && (k.hash == 0 || k.hash == a.hash) {
			schemes = append(schemes, a.tls)
		}
	}
	return schemes
}

// manner is a way to sign.
type manner struct {
	scheme tpm2.TPMAlgID
	hash   crypto.Hash
}

// Sign implements crypto.Signer. It verifies the first signature of each manner: a
// TPM may produce others than TLS requires, and a server would reject them without a
// reason.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	scheme, err := k.schemeFor(digest, opts)
	if err != nil {
		return nil, err
	}
	var signature []byte
	err = k.tpm.do(func(s *session) (err error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.locked {
			return ErrPassword
		}
		var made []byte
		made, err = k.signIn(s, digest, opts, scheme)
		k.locked = errors.Is(err, ErrPassword)
		if as := (manner{scheme.Scheme, opts.HashFunc()}); err == nil && !k.proven[as] {
			if err = k.verify(digest, made, opts); err == nil {
				k.proven[as] = true
			}
		}
		signature = made
		return err
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// schemeFor returns the TPM's scheme for the options.
func (k *Key) schemeFor(digest []byte, opts crypto.SignerOpts) (tpm2.TPMTSigScheme, error) {
	hash := map[crypto.Hash]tpm2.TPMAlgID{crypto.SHA256: tpm2.TPMAlgSHA256, crypto.SHA384: tpm2.TPMAlgSHA384, crypto.SHA512: tpm2.TPMAlgSHA512}[opts.HashFunc()]
	if hash == 0 || len(digest) != opts.HashFunc().Size() {
		return tpm2.TPMTSigScheme{}, fmt.Errorf("cannot sign %d bytes as %s: TPM keys sign by SHA-256, SHA-384 and SHA-512", len(digest), opts.HashFunc())
	}
	scheme := tpm2.TPMAlgECDSA
	if _, is := k.key.(*rsa.PublicKey); is {
		scheme = tpm2.TPMAlgRSASSA
		if _, is := opts.(*rsa.PSSOptions); is {
			scheme = tpm2.TPMAlgRSAPSS
		}
	}
	return tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: hash})}, nil
}

// verify checks a signature: a TPM may produce others than TLS requires.
func (k *Key) verify(digest, signature []byte, opts crypto.SignerOpts) error {
	return verify.Signature(k.key, digest, signature, opts)
}
