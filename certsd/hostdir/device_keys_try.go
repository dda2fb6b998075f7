package hostdir

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"io"

	"github.com/certsd/containerd-certsd/internal/verify"
)

// ErrSignature reports that a device signed, but not with the certificate's key.
var ErrSignature = verify.ErrWrong

// trySigning makes a key sign a hash of random data, as TLS 1.3 would.
func trySigning(rand io.Reader, key crypto.Signer, cert *x509.Certificate) error {
	noise := make([]byte, sha256.Size)
	if _, err := io.ReadFull(rand, noise); err != nil {
		return err
	}
	sum := sha256.Sum256(noise)
	var opts crypto.SignerOpts = crypto.SHA256
	switch key.Public().(type) {
	case *rsa.PublicKey:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	case ed25519.PublicKey:
		opts = crypto.Hash(0)
	}
	signature, err := key.Sign(rand, sum[:], opts)
	if err != nil {
		return err
	}
	return verify.Signature(cert.PublicKey, sum[:], signature, opts)
}
