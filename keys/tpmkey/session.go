package tpmkey

import (
	"crypto"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/certsd/containerd-certsd/internal/verify"
)

// session is the TPM while one caller uses it.
type session struct {
	tpm transport.TPM
	// left lists the loaded objects to flush at the end.
	left []tpm2.TPMHandle
}

// patient repeats commands that a TPM has put off: it may first have to record that a
// key was used, or to test itself.
type patient struct {
	transport.TPM
	until time.Time
}

// Pauses between attempts.
const (
	firstPause = time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// Send implements transport.TPM.
func (p patient) Send(command []byte) ([]byte, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, err := p.TPM.Send(command)
		if err != nil || len(answer) < headerSize {
			return answer, err
		}
		switch tpm2.TPMRC(binary.BigEndian.Uint32(answer[6:])) {
		case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting:
			if time.Now().After(p.until) {
				return answer, nil
			}
			time.Sleep(pause)
		default:
			return answer, nil
		}
	}
}

// empty is authorization with the empty password.
var empty = tpm2.PasswordAuth(nil)

// flush unloads an object from the TPM. After an error, the kernel's resource manager
// does so when the device is closed.
func (s *session) flush(handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(s.tpm)
}

// signIn signs, and registers what it loads in s.left. The caller holds mu.
func (k *Key) signIn(s *session, digest []byte, opts crypto.SignerOpts, scheme tpm2.TPMTSigScheme) ([]byte, error) {
	handle, err := k.resume(s)
	if err != nil {
		if handle, err = k.load(s); err != nil {
			return nil, err
		}
	}
	s.left = append(s.left, handle)
	key := tpm2.AuthHandle{Handle: handle, Name: *k.name, Auth: empty}
	if k.raw && scheme.Scheme == tpm2.TPMAlgRSAPSS {
		return k.signRaw(s, key, digest, opts.HashFunc())
	}
	rsp, err := tpm2.Sign{
		KeyHandle:  key,
		Digest:     tpm2.TPM2BDigest{Buffer: digest},
		InScheme:   scheme,
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(s.tpm)
	switch {
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return nil, ErrPassword
	case err != nil:
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	signature, err := bytesOf(&rsp.Signature)
	if err != nil || scheme.Scheme != tpm2.TPMAlgRSAPSS || k.proven[manner{scheme.Scheme, opts.HashFunc()}] ||
		!errors.Is(k.verify(digest, signature, opts), verify.ErrSalt) {
		return signature, err
	}
	k.raw = true
	return k.signRaw(s, key, digest, opts.HashFunc())
}

// resume loads the key from the context saved before.
func (k *Key) resume(s *session) (tpm2.TPMHandle, error) {
	if k.saved == nil {
		return 0, errNotLoaded
	}
	answer, err := s.tpm.Send(k.saved)
	if err != nil || len(answer) < headerSize+4 || binary.BigEndian.Uint32(answer[6:]) != 0 {
		// The TPM was reset, or is another one.
		k.saved = nil
		return 0, errors.Join(err, errNotLoaded)
	}
	return tpm2.TPMHandle(binary.BigEndian.Uint32(answer[headerSize:])), nil
}

// contextLoad returns the command that loads a saved key, built only once as it
// precedes every signature.
func contextLoad(saved tpm2.TPMSContext) []byte {
	body := tpm2.Marshal(saved)
	command := binary.BigEndian.AppendUint16(nil, uint16(tpm2.TPMSTNoSessions))
	command = binary.BigEndian.AppendUint32(command, uint32(headerSize+len(body))) //nolint:gosec // it has some KiB
	command = binary.BigEndian.AppendUint32(command, uint32(tpm2.TPMCCContextLoad))
	return append(command, body...)
}

var errNotLoaded = errors.New("was not loaded before")

// load loads the key under its parent, and saves its context for resume.
func (k *Key) load(s *session) (tpm2.TPMHandle, error) {
	parent, done, err := k.parent(s)
	if err != nil {
		return 0, err
	}
	defer done()
	private := k.Privkey
	if k.Keytype.Equal(keyfile.OIDImportableKey) {
		rsp, err := tpm2.Import{
			ParentHandle: parent, ObjectPublic: k.Pubkey, Duplicate: k.Privkey, InSymSeed: k.Secret,
			Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
		}.Execute(s.tpm)
		if err != nil {
			return 0, fmt.Errorf("cannot import the key: %w", k.strange(err))
		}
		private = rsp.OutPrivate
	}
	rsp, err := tpm2.Load{ParentHandle: parent, InPrivate: private, InPublic: k.Pubkey}.Execute(s.tpm)
	if err != nil {
		return 0, fmt.Errorf("cannot load the key: %w", k.strange(err))
	}
	if saved, err := (tpm2.ContextSave{SaveHandle: rsp.ObjectHandle}).Execute(s.tpm); err == nil {
		k.saved = contextLoad(saved.Context)
	}
	return rsp.ObjectHandle, nil
}

// parent returns the key that wraps this one: a persistent key of the TPM, or one
// derived from the TPM's seed, which is the same each time.
func (k *Key) parent(s *session) (parent tpm2.AuthHandle, done func(), err error) {
	if k.Parent>>24 == persistent {
		rsp, err := tpm2.ReadPublic{ObjectHandle: k.Parent}.Execute(s.tpm)
		if err != nil {
			return parent, nil, fmt.Errorf("its parent key %#x is not in this TPM: make the key again: %w", uint32(k.Parent), err)
		}
		return tpm2.AuthHandle{Handle: k.Parent, Name: rsp.Name, Auth: empty}, func() {}, nil
	}
	hierarchy := k.Parent
	if hierarchy>>24 != permanent {
		// Some tools write the handle that the parent had while they ran.
		hierarchy = tpm2.TPMRHOwner
	}
	template := keyfile.ECCSRK_H2_Template
	if k.rsaParent {
		template = tpm2.RSASRKTemplate
		template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
	}
	rsp, err := tpm2.CreatePrimary{
		PrimaryHandle: tpm2.AuthHandle{Handle: hierarchy, Auth: empty},
		InPublic:      tpm2.New2B(template),
	}.Execute(s.tpm)
	switch {
	case errors.Is(err, tpm2.TPMRCAuthFail), errors.Is(err, tpm2.TPMRCBadAuth):
		return parent, nil, fmt.Errorf("its owner has a password: make the key below a parent that stays in the TPM (tpm2_evictcontrol): %w", err)
	case err != nil:
		return parent, nil, fmt.Errorf("cannot make the key's parent: %w", err)
	}
	return tpm2.AuthHandle{Handle: rsp.ObjectHandle, Name: rsp.Name, Auth: empty}, func() { s.flush(rsp.ObjectHandle) }, nil
}

// The first byte of a handle gives its type.
const (
	permanent  = 0x40
	persistent = 0x81
)

// strange explains why the TPM may have refused a key.
func (k *Key) strange(err error) error {
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return fmt.Errorf("it was made in another TPM, or below another parent than the file says: make it again: %w", err)
	}
	if errors.Is(err, tpm2.TPMRCAuthFail) || errors.Is(err, tpm2.TPMRCBadAuth) {
		return fmt.Errorf("its parent has a password: make it below one without: %w", err)
	}
	return err
}

// bytesOf returns a signature in the encoding of TLS.
func bytesOf(s *tpm2.TPMTSignature) ([]byte, error) {
	switch s.SigAlg {
	case tpm2.TPMAlgECDSA:
		sig, err := s.Signature.ECDSA()
		if err != nil {
			return nil, err
		}
		return asn1.Marshal(struct{ R, S *big.Int }{
			new(big.Int).SetBytes(sig.SignatureR.Buffer), new(big.Int).SetBytes(sig.SignatureS.Buffer),
		})
	case tpm2.TPMAlgRSASSA:
		sig, err := s.Signature.RSASSA()
		if err != nil {
			return nil, err
		}
		return sig.Sig.Buffer, nil
	case tpm2.TPMAlgRSAPSS:
		sig, err := s.Signature.RSAPSS()
		if err != nil {
			return nil, err
		}
		return sig.Sig.Buffer, nil
	}
	return nil, fmt.Errorf("%w: it is of the kind %#x", verify.ErrWrong, uint16(s.SigAlg))
}

// signRaw signs by RSA-PSS with the salt that TLS requires, for a TPM that uses
// another length: it has the TPM decrypt the padded digest, so the key must allow
// decryption.
func (k *Key) signRaw(s *session, key tpm2.AuthHandle, digest []byte, hash crypto.Hash) ([]byte, error) {
	if !k.public.ObjectAttributes.Decrypt {
		return nil, errSalt
	}
	public, is := k.key.(*rsa.PublicKey)
	if !is {
		return nil, errSalt
	}
	padded, err := pad(public, digest, hash)
	if err != nil {
		return nil, err
	}
	rsp, err := tpm2.RSADecrypt{
		KeyHandle:  key,
		CipherText: tpm2.TPM2BPublicKeyRSA{Buffer: padded},
		InScheme:   tpm2.TPMTRSADecrypt{Scheme: tpm2.TPMAlgNull},
	}.Execute(s.tpm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSalt, err)
	}
	return rsp.Message.Buffer, nil
}
