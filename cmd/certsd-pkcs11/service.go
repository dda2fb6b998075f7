package main

import (
	"crypto/x509"
	"errors"

	"github.com/certsd/containerd-certsd/keys/signer"
)

// service implements the calls of the protocol.
type service struct{ key *key }

// CertificateChain returns the certificates next to the key, if any.
func (s *service) CertificateChain(_ struct{}, chain *[][]byte) (err error) {
	*chain, err = s.key.chain()
	return err
}

// Public returns the public key.
func (s *service) Public(_ struct{}, public *[]byte) error {
	key, err := s.key.publicKey()
	if err != nil {
		return err
	}
	*public, err = x509.MarshalPKIXPublicKey(key)
	return err
}

// Sign signs a digest.
func (s *service) Sign(args signer.SignArgs, signature *[]byte) (err error) {
	if args.Opts == nil {
		return errors.New("the request does not say how to sign")
	}
	*signature, err = s.key.sign(args.Digest, args.Opts)
	return err
}
