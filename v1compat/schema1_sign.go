package v1compat

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // ES256, RS256
	_ "crypto/sha512" // ES384, ES512, RS384, RS512
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

// Bounds for the work a manifest can cause. It brings its own key, so verification
// shows only that nothing was damaged: no key is worth more than a moment.
const (
	// maxSignatures bounds the signatures of a manifest; one is usual.
	maxSignatures = 16
	// maxKey bounds a key, or a certificate with it, as encoded, in bytes.
	maxKey = 16 << 10
	// maxRSA bounds the modulus in bits. libtrust created keys of 2048.
	maxRSA = 8192
)

// jws is a signature in libtrust's form: the signatures are the last field of the
// document, and "protected" says how to cut them out again.
type jws struct {
	Header struct {
		Algorithm string          `json:"alg"`
		Key       json.RawMessage `json:"jwk"`
		Chain     []string        `json:"x5c"`
	} `json:"header"`
	Signature string `json:"signature"`
	Protected string `json:"protected"`
}

// openSchema1 removes the signatures from a manifest and verifies them. Without
// signatures, the body is the payload.
func openSchema1(body []byte) (payload []byte, signed bool, err error) {
	var doc struct {
		Signatures []jws `json:"signatures"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, false, jsonwords.Of(err)
	}
	if len(doc.Signatures) == 0 {
		return body, false, nil
	}
	if len(doc.Signatures) > maxSignatures {
		return nil, false, fmt.Errorf("it has %d signatures, more than %d", len(doc.Signatures), maxSignatures)
	}
	for i, s := range doc.Signatures {
		p, err := s.payload(body)
		if err == nil && i > 0 && !bytes.Equal(p, payload) {
			err = errors.New("signs other content than the first")
		}
		if err == nil {
			err = s.verify(p)
		}
		if err != nil {
			return nil, false, fmt.Errorf("signature %d: %w", i, err)
		}
		payload = p
	}
	return payload, true, nil
}

// payload returns the signed content: the first bytes of the document and a tail.
func (s *jws) payload(body []byte) ([]byte, error) {
	raw, err := decode64(s.Protected)
	if err != nil {
		return nil, fmt.Errorf("protected: %w", err)
	}
	var format struct {
		Length int    `json:"formatLength"`
		Tail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(raw, &format); err != nil {
		return nil, fmt.Errorf("protected: %w", jsonwords.Of(err))
	}
	tail, err := decode64(format.Tail)
	if err != nil {
		return nil, fmt.Errorf("formatTail: %w", err)
	}
	if format.Length <= 0 || format.Length > len(body) {
		return nil, fmt.Errorf("formatLength is %d of %d bytes", format.Length, len(body))
	}
	return append(bytes.Clone(body[:format.Length]), tail...), nil
}

// schema1Hashes lists libtrust's algorithms.
var schema1Hashes = map[string]crypto.Hash{
	"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512,
}

func (s *jws) verify(payload []byte) error {
	key, err := s.key()
	if err != nil {
		return err
	}
	signature, err := decode64(s.Signature)
	if err != nil {
		return err
	}
	hash, ok := schema1Hashes[s.Header.Algorithm]
	if !ok {
		return fmt.Errorf("algorithm %q is not known", clip(s.Header.Algorithm))
	}
	h := hash.New()
	_, _ = h.Write([]byte(s.Protected + "." + base64.RawURLEncoding.EncodeToString(payload)))
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if !strings.HasPrefix(s.Header.Algorithm, "ES") || !verifyECDSA(key, h.Sum(nil), signature) {
			return errWrongSignature
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits > maxRSA {
			return fmt.Errorf("has an RSA key of %d bits, more than %d", bits, maxRSA)
		}
		if !strings.HasPrefix(s.Header.Algorithm, "RS") || rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), signature) != nil {
			return errWrongSignature
		}
	default:
		return fmt.Errorf("keys of type %T cannot sign manifests", key)
	}
	return nil
}

var errWrongSignature = errors.New("is wrong: the manifest was changed after it was signed")

func verifyECDSA(key *ecdsa.PublicKey, sum, signature []byte) bool {
	if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() && key.Curve != elliptic.P521() {
		return false
	}
	n := (key.Params().BitSize + 7) / 8
	if len(signature) != 2*n {
		return false
	}
	return ecdsa.Verify(key, sum, new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:]))
}

// key returns the key in the signature itself, plain or in a certificate. Nothing
// vouches for its owner.
func (s *jws) key() (crypto.PublicKey, error) {
	if len(s.Header.Key) > maxKey || len(s.Header.Chain) > 0 && len(s.Header.Chain[0]) > maxKey {
		return nil, fmt.Errorf("has a key of more than %d bytes", maxKey)
	}
	if len(s.Header.Chain) > 0 {
		der, err := base64.StdEncoding.DecodeString(s.Header.Chain[0])
		if err != nil {
			return nil, fmt.Errorf("x5c: %w", err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("x5c: %w", err)
		}
		return cert.PublicKey, nil
	}
	if len(s.Header.Key) == 0 {
		return nil, errors.New("has no key")
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(s.Header.Key); err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return key.Key, nil
}

// decode64 decodes base64url with or without padding: both occur.
func decode64(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
