// Package verify checks signatures made by a device. The device may sign in another way
// than TLS requires, or with another key, and a server would only say that it does not
// accept the signature.
package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
)

// Faults of a signature.
var (
	// ErrWrong reports that a signature was not made with the key.
	ErrWrong = errors.New("its signature was not made with the certificate's key")
	// ErrSalt reports that an RSA-PSS signature has a salt of the wrong length.
	ErrSalt = errors.New("its RSA-PSS signatures have a salt of another length than TLS 1.3 requires")
)

// Signature returns an error if the signature of a digest is wrong.
func Signature(public crypto.PublicKey, digest, signature []byte, opts crypto.SignerOpts) error {
	good := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		good = ed25519.Verify(key, digest, signature)
	case *rsa.PublicKey:
		pss, is := opts.(*rsa.PSSOptions)
		if !is {
			good = rsa.VerifyPKCS1v15(key, opts.HashFunc(), digest, signature) == nil
			break
		}
		good = rsa.VerifyPSS(key, opts.HashFunc(), digest, signature, pss) == nil
		anySalt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: pss.Hash}
		if !good && rsa.VerifyPSS(key, opts.HashFunc(), digest, signature, anySalt) == nil {
			return ErrSalt
		}
	default:
		return fmt.Errorf("TLS takes keys of ECDSA, RSA and Ed25519, and not %T", public)
	}
	if !good {
		return ErrWrong
	}
	return nil
}
