package certsd

import (
	"crypto"
	"crypto/tls"
	"errors"
	"io"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// signing is a key that notes why it did not sign: crypto/tls keeps no more than
// the text of it.
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

// certificateFor is what is presented on a connection.
func certificateFor(id *Identity, c *conn) *tls.Certificate {
	key, ok := id.Certificate.PrivateKey.(hostdir.DeviceKey)
	if !ok {
		return id.Certificate
	}
	cert := *id.Certificate
	cert.PrivateKey = signing{key, id.KeyFile, c}
	return &cert
}

// unsigned is why a handshake failed for want of a signature, nil if that is not
// it.
func unsigned(err error) *KeyError {
	var e *KeyError
	errors.As(err, &e)
	return e
}
