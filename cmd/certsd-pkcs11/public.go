package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"math/big"

	"github.com/miekg/pkcs11"
)

// public finds the public key: next to the private one, or in a certificate.
func (k *key) public() (crypto.PublicKey, error) {
	found, err := k.objects(pkcs11.CKO_PUBLIC_KEY)
	if err != nil {
		return nil, err
	}
	if k.kind == pkcs11.CKK_RSA {
		// A private RSA key has the public values, too.
		found = append(found, k.object)
	}
	for _, object := range found {
		if public, err := k.publicIn(object); err == nil {
			return public, nil
		}
	}
	chain, err := k.certificates()
	if err != nil {
		return nil, err
	}
	for _, der := range chain {
		if cert, err := x509.ParseCertificate(der); err == nil {
			return cert.PublicKey, nil
		}
	}
	return nil, errors.New("the token does not show the public key")
}

func (k *key) publicIn(object pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	if k.kind == pkcs11.CKK_RSA {
		a, err := k.ctx.GetAttributeValue(k.handle, object, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil), pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, nil),
		})
		if err != nil {
			return nil, err
		}
		e := new(big.Int).SetBytes(a[1].Value)
		if !e.IsInt64() || e.Int64() > 1<<31-1 || len(a[0].Value) == 0 {
			return nil, errors.New("the RSA key is malformed")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(a[0].Value), E: int(e.Int64())}, nil
	}
	a, err := k.ctx.GetAttributeValue(k.handle, object, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, nil), pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, nil),
	})
	if err != nil {
		return nil, err
	}
	return ecKey(a[0].Value, a[1].Value)
}

// curves are the curves of TLS.
var curves = map[string]elliptic.Curve{
	"1.2.840.10045.3.1.7": elliptic.P256(),
	"1.3.132.0.34":        elliptic.P384(),
	"1.3.132.0.35":        elliptic.P521(),
}

// ecKey decodes a point of PKCS #11: in an octet string, which some tokens omit.
func ecKey(params, point []byte) (crypto.PublicKey, error) {
	var name asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(params, &name); err != nil {
		return nil, errors.New("the curve of the key has no name")
	}
	curve := curves[name.String()]
	if curve == nil {
		return nil, errors.New("TLS does not know the curve of the key")
	}
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err == nil && len(rest) == 0 {
		point = inner
	}
	return ecdsa.ParseUncompressedPublicKey(curve, point)
}

// chain returns the certificates next to the key, for clients that get theirs from the
// token.
func (k *key) chain() (chain [][]byte, err error) {
	err = k.with(func() (err error) {
		chain, err = k.certificates()
		return err
	})
	return chain, err
}

func (k *key) certificates() ([][]byte, error) {
	found, err := k.objects(pkcs11.CKO_CERTIFICATE)
	if err != nil {
		return nil, err
	}
	var chain [][]byte
	for _, object := range found {
		a, err := k.ctx.GetAttributeValue(k.handle, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		if err == nil {
			chain = append(chain, a[0].Value)
		}
	}
	return chain, nil
}
