package hostdir

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
)

// ErrSignature tells that a device signed, and not with the key of the
// certificate.
var ErrSignature = errors.New("its signature is not one of the certificate's key")

// trySigning lets a key sign a hash of noise, as TLS 1.3 would.
func trySigning(rand io.Reader, key crypto.Signer, cert *x509.Certificate) error {
	noise := make([]byte, sha256.Size)
	if _, err := io.ReadFull(rand, noise); err != nil {
		return err
	}
	sum := sha256.Sum256(noise)
	var opts crypto.SignerOpts = crypto.SHA256
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	switch key.Public().(type) {
	case *rsa.PublicKey:
		opts = pss
	case ed25519.PublicKey:
		opts = crypto.Hash(0)
	}
	signature, err := key.Sign(rand, sum[:], opts)
	if err != nil {
		return err
	}
	good := false
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		good = rsa.VerifyPSS(pub, crypto.SHA256, sum[:], signature, pss) == nil
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(pub, sum[:], signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(pub, sum[:], signature)
	default:
		return fmt.Errorf("%w: %T", ErrKeyType, pub)
	}
	if !good {
		return ErrSignature
	}
	return nil
}
