package main

import (
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// hashes has the PKCS #11 names of TLS's hashes, and the prefix of their DigestInfo:
// RFC 8017, 9.2.
var hashes = map[crypto.Hash]struct {
	mechanism, mask uint
	prefix          []byte
}{
	crypto.SHA256: {pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256, []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}},
	crypto.SHA384: {pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384, []byte{0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30}},
	crypto.SHA512: {pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512, []byte{0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40}},
}

// sign signs a digest as crypto.Signer would.
func (k *key) sign(digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	hash, known := hashes[opts.HashFunc()]
	if !known || len(digest) != opts.HashFunc().Size() {
		return nil, fmt.Errorf("%d bytes cannot be signed as %s: there are SHA-256, SHA-384 and SHA-512", len(digest), opts.HashFunc())
	}
	err = k.with(func() error {
		mechanism, input := pkcs11.NewMechanism(pkcs11.CKM_ECDSA, nil), digest
		if k.kind == pkcs11.CKK_RSA {
			mechanism, input = pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS, nil), append(append([]byte(nil), hash.prefix...), digest...)
			if pss, is := opts.(*rsa.PSSOptions); is {
				salt, err := saltOf(pss, opts.HashFunc())
				if err != nil {
					return err
				}
				mechanism, input = pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_PSS, pkcs11.NewPSSParams(hash.mechanism, hash.mask, salt)), digest
			}
		}
		if err := k.ctx.SignInit(k.handle, []*pkcs11.Mechanism{mechanism}, k.object); err != nil {
			return fmt.Errorf("the token does not begin to sign: %w", err)
		}
		if k.always && k.pin != "" {
			if err := k.ctx.Login(k.handle, pkcs11.CKU_CONTEXT_SPECIFIC, k.pin); err != nil {
				err = fmt.Errorf("the token does not take the PIN for a signature, which is not tried again: %w", err)
				k.refused = k.named(err)
				return err
			}
		}
		raw, err := k.ctx.Sign(k.handle, input)
		if err != nil {
			return fmt.Errorf("the token does not sign: %w", err)
		}
		signature = raw
		if k.kind == pkcs11.CKK_EC {
			signature, err = ecSignature(raw)
		}
		return err
	})
	return signature, err
}

// saltOf returns the length of the salt in bytes.
func saltOf(pss *rsa.PSSOptions, hash crypto.Hash) (uint, error) {
	switch n := pss.SaltLength; {
	case n == rsa.PSSSaltLengthEqualsHash, n == rsa.PSSSaltLengthAuto:
		return uint(hash.Size()), nil
	case n > 0 && n <= 64:
		return uint(n), nil
	}
	return 0, errors.New("the salt of the signature has an unexpected length")
}

// ecSignature converts a signature of PKCS #11, r followed by s, to the encoding of
// TLS.
func ecSignature(raw []byte) ([]byte, error) {
	if len(raw) == 0 || len(raw)%2 != 0 {
		return nil, errors.New("the token's signature is malformed")
	}
	half := len(raw) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])})
}
