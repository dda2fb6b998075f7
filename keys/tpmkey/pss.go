package tpmkey

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/certsd/containerd-certsd/internal/verify"
)

// errSalt reports that a TPM's RSA-PSS signatures lack the salt that TLS 1.3
// requires.
var errSalt = fmt.Errorf("%w: make the key with the attribute decrypt, too, or an ECDSA one", verify.ErrSalt)

// pad returns the EMSA-PSS encoding of digest (RFC 8017, 9.1.1) with a salt as long
// as the hash, ready for the private key.
func pad(key *rsa.PublicKey, digest []byte, hash crypto.Hash) ([]byte, error) {
	bits := key.N.BitLen() - 1
	size, hashed := (bits+7)/8, hash.Size()
	if size < 2*hashed+2 {
		return nil, errors.New("the RSA key is too short")
	}
	salt := make([]byte, hashed)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(make([]byte, 8))
	h.Write(digest)
	h.Write(salt)
	sum := h.Sum(nil)

	padded := make([]byte, key.Size())
	block := padded[key.Size()-size:]
	masked := block[:size-hashed-1]
	masked[len(masked)-hashed-1] = 1
	copy(masked[len(masked)-hashed:], salt)
	mask(masked, hash, sum)
	masked[0] &= 0xff >> (8*size - bits)
	copy(block[len(masked):], sum)
	block[size-1] = 0xbc
	return padded, nil
}

// mask XORs out with the MGF1 of seed (RFC 8017, B.2.1).
func mask(out []byte, hash crypto.Hash, seed []byte) {
	for counter := uint32(0); len(out) > 0; counter++ {
		h := hash.New()
		h.Write(seed)
		h.Write(binary.BigEndian.AppendUint32(nil, counter))
		for _, b := range h.Sum(nil) {
			if len(out) == 0 {
				return
			}
			out[0] ^= b
			out = out[1:]
		}
	}
}
