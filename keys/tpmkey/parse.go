package tpmkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"

	"github.com/certsd/containerd-certsd/internal/nextstep"
)

// label is the type of the PEM block.
const label = "TSS2 PRIVATE KEY"

// maxKey bounds the size of a key in DER.
const maxKey = 16 << 10

// Reasons to refuse a key.
var (
	// ErrPassword reports that a key has a password: a daemon has nobody to ask.
	ErrPassword = nextstep.With(errors.New("the TPM key has a password, which this program cannot ask for"), "create one without a password, or remove it: tpm2_changeauth")
	// ErrPolicy reports that a policy restricts the use of a key.
	ErrPolicy = nextstep.With(errors.New("the TPM key requires a policy, which is not supported"), "create a key that opens with the empty password")
	// errNotForSigning reports that a key cannot sign.
	errNotForSigning = nextstep.With(errors.New("the TPM key cannot sign"), "create one with the attributes sign and userwithauth, and not restricted")
)

// IsKey reports whether data is a PEM file with a TPM key.
func IsKey(data []byte) bool {
	_, is := block(data)
	return is
}

// block finds the key in a PEM file, which may also hold certificates.
func block(data []byte) ([]byte, bool) {
	for {
		b, rest := pem.Decode(data)
		if b == nil {
			return nil, false
		}
		if b.Type == label {
			return b.Bytes, true
		}
		data = rest
	}
}

// parsed is the content of a key file.
type parsed struct {
	*keyfile.TPMKey
	public *tpm2.TPMTPublic
	name   *tpm2.TPM2BName
	key    crypto.PublicKey
	// doubtful reports whether the file leaves open if the key has a password.
	doubtful bool
	// rsaParent reports whether the parent to create is an RSA key.
	rsaParent bool
	// scheme and hash are those the key is restricted to, zero for no restriction.
	scheme, hash tpm2.TPMAlgID
}

// parse parses a key file, and refuses keys that cannot be used with the file alone.
func parse(data []byte) (*parsed, error) {
	der, is := block(data)
	if !is {
		return nil, errors.New("has no " + label)
	}
	if len(der) > maxKey {
		return nil, fmt.Errorf("the TPM key has %d bytes, and keys of more than %d are not read", len(der), maxKey)
	}
	key, err := keyfile.Parse(der)
	if err != nil {
		return nil, fmt.Errorf("the TPM key cannot be read: %w", err)
	}
	p := &parsed{TPMKey: key, doubtful: !key.EmptyAuth, rsaParent: hasRSAParent(der)}
	if p.public, err = key.Pubkey.Contents(); err != nil {
		return nil, fmt.Errorf("the public part of the TPM key cannot be read: %w", err)
	}
	if err := p.refused(); err != nil {
		return nil, err
	}
	if p.key, err = tpm2.Pub(*p.public); err != nil {
		return nil, fmt.Errorf("the public part of the TPM key cannot be read: %w", err)
	}
	if p.name, err = tpm2.ObjectName(p.public); err != nil {
		return nil, fmt.Errorf("the public part of the TPM key cannot be read: %w", err)
	}
	return p, p.bound()
}

// refused returns why a key cannot be used here, nil if it can.
func (p *parsed) refused() error {
	attributes := p.public.ObjectAttributes
	switch {
	case p.Keytype.Equal(keyfile.OIDSealedKey):
		return errors.New("the file holds data sealed by a TPM, not a key")
	case len(p.Policy) > 0, len(p.AuthPolicy) > 0, !attributes.UserWithAuth:
		return ErrPolicy
	case !attributes.SignEncrypt, attributes.Restricted:
		return errNotForSigning
	}
	return nil
}

// bound reads the scheme that a key is restricted to.
func (p *parsed) bound() error {
	switch p.key.(type) {
	case *rsa.PublicKey:
		parms, err := p.public.Parameters.RSADetail()
		if err != nil {
			return err
		}
		p.scheme = parms.Scheme.Scheme
		switch p.scheme {
		case tpm2.TPMAlgRSASSA:
			if d, err := parms.Scheme.Details.RSASSA(); err == nil {
				p.hash = d.HashAlg
			}
		case tpm2.TPMAlgRSAPSS:
			if d, err := parms.Scheme.Details.RSAPSS(); err == nil {
				p.hash = d.HashAlg
			}
		case tpm2.TPMAlgNull:
			p.scheme = 0
		default:
			return errNotForSigning
		}
	case *ecdsa.PublicKey:
		parms, err := p.public.Parameters.ECCDetail()
		if err != nil {
			return err
		}
		p.scheme = parms.Scheme.Scheme
		switch p.scheme {
		case tpm2.TPMAlgECDSA:
			if d, err := parms.Scheme.Details.ECDSA(); err == nil {
				p.hash = d.HashAlg
			}
		case tpm2.TPMAlgNull:
			p.scheme = 0
		default:
			return errNotForSigning
		}
	default:
		return fmt.Errorf("the TPM key is a %T: TLS here takes RSA and ECDSA", p.key)
	}
	return nil
}

// hasRSAParent reads the optional rsaParent [5] of a key file, which no library does.
// If it is true, the parent to create below a hierarchy is an RSA key instead of the
// usual ECC one.
func hasRSAParent(der []byte) bool {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return false
	}
	rest := outer.Bytes
	for len(rest) > 0 {
		var part asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &part); err != nil {
			return false
		}
		if part.Class == asn1.ClassContextSpecific && part.Tag == 5 {
			return bytes.HasPrefix(part.Bytes, []byte{asn1.TagBoolean, 1}) && len(part.Bytes) == 3 && part.Bytes[2] != 0
		}
	}
	return false
}
