package tpmkey

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"math/big"
	"testing"
)

func TestPadIsPSS(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{1024, 1031, 2048} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
			digest := make([]byte, hash.Size())
			padded, err := pad(&key.PublicKey, digest, hash)
			if err != nil {
				t.Fatal(err)
			}
			signature := new(big.Int).Exp(new(big.Int).SetBytes(padded), key.D, key.N).FillBytes(make([]byte, key.Size()))
			pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
			if err := rsa.VerifyPSS(&key.PublicKey, hash, digest, signature, pss); err != nil {
				t.Errorf("%d bits, %s: %v", bits, hash, err)
			}
		}
		if _, err := pad(&key.PublicKey, make([]byte, 64), crypto.SHA512); (err != nil) != (bits < 1040) {
			t.Errorf("%d bits, SHA-512: %v", bits, err)
		}
	}
}
