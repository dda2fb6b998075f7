// Package signer signs with a helper process that has access to the key in a
// token, which keeps C libraries out of daemons. The protocol is that of Google's
// enterprise-certificate-proxy: net/rpc over the helper's standard input and
// output, with a configuration file as its argument.
//
// Read signer.go first: it keeps a helper for each key, and signs. process.go runs
// one (process_linux.go keeps its secrets from core dumps), config.go writes its
// configuration, and protocol.go is how the two talk.
package signer

import (
	"bufio"
	"crypto"
	"crypto/rsa"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net/rpc"
)

// Names of the protocol.
const (
	// Service is the name of the service.
	Service = "EnterpriseCertSigner"

	callPublic = Service + ".Public"
	callSign   = Service + ".Sign"
)

// SignArgs are the arguments of Sign.
type SignArgs struct {
	Digest []byte
	Opts   crypto.SignerOpts
}

// encoding/gob must know the types of options that SignArgs may hold.
func init() {
	gob.Register(crypto.SHA256)
	gob.Register(crypto.SHA384)
	gob.Register(crypto.SHA512)
	gob.Register(&rsa.PSSOptions{})
}

// maxAnswer bounds a helper's answer, including descriptions of types: an RSA
// signature of 16,384 bits has 2 KiB.
const maxAnswer = 64 << 10

// codec is net/rpc's gob codec with bounds: the original accepts up to a gigabyte.
type codec struct {
	conn io.ReadWriteCloser
	left *io.LimitedReader
	dec  *gob.Decoder
	enc  *gob.Encoder
	out  *bufio.Writer
}

func newCodec(conn io.ReadWriteCloser) *codec {
	c := &codec{conn: conn, left: &io.LimitedReader{R: conn, N: maxAnswer}, out: bufio.NewWriter(conn)}
	c.dec, c.enc = gob.NewDecoder(c.left), gob.NewEncoder(c.out)
	return c
}

// WriteRequest implements rpc.ClientCodec.
func (c *codec) WriteRequest(r *rpc.Request, args any) error {
	return errors.Join(c.enc.Encode(r), c.enc.Encode(args), c.out.Flush())
}

// ReadResponseHeader implements rpc.ClientCodec.
func (c *codec) ReadResponseHeader(r *rpc.Response) error {
	c.left.N = maxAnswer
	return c.decode(r)
}

// ReadResponseBody implements rpc.ClientCodec.
func (c *codec) ReadResponseBody(body any) error { return c.decode(body) }

// decode reads one value. encoding/gob's documentation says that it is not hardened.
func (c *codec) decode(v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the helper's answer cannot be read: %v", r)
		}
	}()
	return c.dec.Decode(v)
}

// Close implements rpc.ClientCodec.
func (c *codec) Close() error { return c.conn.Close() }
