package certsd

import (
	"crypto"
	"crypto/tls"
	"errors"
	"io"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// present returns the certificate for a server that asks for one. "The returned
// certificate must not be modified" later: identities never are.
func present(cri *tls.CertificateRequestInfo, id *Identity) (*tls.Certificate, error) {
	c := connIn(cri.Context())
	if c != nil {
		c.asked.Store(true)
		c.cas.Store(&cri.AcceptableCAs)
	}
	if id == nil {
		return &tls.Certificate{}, nil
	}
	anyCA := *cri
	anyCA.AcceptableCAs = nil
	if err := anyCA.SupportsCertificate(id.Certificate); err != nil {
		return nil, &unusableError{err}
	}
	if c != nil {
		c.offered.Store(true)
	}
	return certificateFor(id, c), nil
}

// unusableError reports that a server accepts none of the signature algorithms of a
// client certificate's key.
type unusableError struct{ err error }

func (e *unusableError) Error() string {
	return "the server accepts no signature of this key's type: " + e.err.Error()
}

func (e *unusableError) Unwrap() error { return e.err }

func unusable(err error) (*unusableError, bool) {
	var unusable *unusableError
	ok := errors.As(err, &unusable)
	return unusable, ok
}

// signing is a key that records why it failed to sign: crypto/tls keeps only the text.
type signing struct {
	hostdir.DeviceKey
	file string
	conn *conn
}

// Sign implements crypto.Signer.
func (s signing) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := s.DeviceKey.Sign(rand, digest, opts)
	if err != nil {
		failed := &KeyError{File: s.file, Device: s.Device(), Err: err}
		if s.conn != nil {
			s.conn.unsigned.Store(failed)
		}
		return nil, failed
	}
	return signature, nil
}

// certificateFor returns the certificate to present on a connection.
func certificateFor(id *Identity, c *conn) *tls.Certificate {
	key, ok := id.Certificate.PrivateKey.(hostdir.DeviceKey)
	if !ok {
		return id.Certificate
	}
	cert := *id.Certificate
	cert.PrivateKey = signing{key, id.KeyFile, c}
	return &cert
}

// unsigned returns the key's error if a handshake failed because the key did not sign,
// otherwise nil.
func unsigned(err error) *KeyError {
	var e *KeyError
	errors.As(err, &e)
	return e
}
