package signer

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/internal/verify"
	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

// The bounds for a helper.
const (
	// patience is how long a signature may take: a handshake has 10 seconds.
	patience = 5 * time.Second
	// idle is how long a helper is kept that nothing is asked of.
	idle = 15 * time.Minute
	// pause is how long one is not started again that did not start.
	pause = time.Second
)

// errSlow reports that a helper did not answer in time.
var errSlow = fmt.Errorf("the helper did not answer within %s", patience)

// Helpers are the helper processes of a process, one for each key. They are started
// when a key is first needed, and end with the process that has them, or with
// Close.
type Helpers struct {
	// Command is the command of the helper. The path of its configuration is
	// appended, unless its last argument is such a file, NAME.json.
	Command []string

	// mu guards all: the helpers by what is asked for.
	mu  sync.Mutex
	all map[[sha256.Size]byte]*helper
}

// Key is a key in a token. It implements certsd's DeviceKey.
type Key struct {
	uri    *pkcs11uri.URI
	cert   *x509.Certificate
	helper *helper
}

// Open reads a key file. The helper is not asked before the first signature.
func (h *Helpers) Open(path string, data []byte, cert *x509.Certificate) (*Key, error) {
	u, err := keyFile(path, data)
	if err != nil {
		return nil, err
	}
	if len(h.Command) == 0 {
		return nil, errors.New(`it is in a PKCS #11 token, and no helper is configured for it: set signer = ["certsd-pkcs11"]`)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[[sha256.Size]byte]*helper{}
	}
	sum := sha256.Sum256(data)
	if h.all[sum] == nil {
		h.all[sum] = &helper{command: h.Command, uri: u}
	}
	return &Key{u, cert, h.all[sum]}, nil
}

// Close ends all helpers. They are started again when they are needed.
func (h *Helpers) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, helper := range h.all {
		helper.stop()
	}
	return nil
}

// Public implements crypto.Signer. Whether the token has that key is seen when it
// signs.
func (k *Key) Public() crypto.PublicKey { return k.cert.PublicKey }

// Device says where the key is.
func (k *Key) Device() string { return "token with " + k.uri.String() }

// SignatureSchemes returns all of the key's type.
func (k *Key) SignatureSchemes() []tls.SignatureScheme { return nil }

// Sign implements crypto.Signer. The first signature of its manner that a helper makes
// is verified: what may be wrong with one is so with each.
func (k *Key) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	_, pss := opts.(*rsa.PSSOptions)
	as := manner{opts.HashFunc(), pss}
	signature, p, err := k.helper.sign(k.cert.PublicKey, SignArgs{Digest: digest, Opts: plain(opts)})
	if err != nil {
		return nil, err
	}
	if _, proven := p.proven.Load(as); proven {
		return signature, nil
	}
	if err := verify.Signature(k.cert.PublicKey, digest, signature, opts); err != nil {
		return nil, err
	}
	p.proven.Store(as, true)
	return signature, nil
}

// manner is one to sign in.
type manner struct {
	hash crypto.Hash
	pss  bool
}

// plain are options as encoding/gob knows them.
func plain(opts crypto.SignerOpts) crypto.SignerOpts {
	if pss, is := opts.(*rsa.PSSOptions); is {
		return &rsa.PSSOptions{SaltLength: pss.SaltLength, Hash: pss.Hash}
	}
	return opts.HashFunc()
}

// helper is the one for a key.
type helper struct {
	command []string
	uri     *pkcs11uri.URI

	// mu guards what follows: a helper is started, and ended, by one at a time.
	mu   sync.Mutex
	now  *process
	rest *time.Timer
	// failed is why it did not start, until retry.
	failed error
	retry  time.Time
}

// sign lets the helper sign, and starts it where it does not run or has died.
func (h *helper) sign(public crypto.PublicKey, args SignArgs) ([]byte, *process, error) {
	for again := false; ; again = true {
		p, err := h.running(public)
		if err != nil {
			return nil, nil, err
		}
		var signature []byte
		err = p.call(callSign, args, &signature, patience)
		var said rpc.ServerError
		switch {
		case err == nil:
			return signature, p, nil
		case errors.As(err, &said):
			return nil, nil, fmt.Errorf("the helper says: %s", p.clean(string(said)))
		}
		died := h.drop(p, err)
		if again || errors.Is(err, errSlow) {
			return nil, nil, died
		}
	}
}

// running returns the helper's process, started if need be.
func (h *helper) running(public crypto.PublicKey) (*process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now != nil {
		select {
		case <-h.now.ended:
			h.end()
		default:
		}
	}
	if h.now == nil {
		if err := h.begin(); err != nil {
			return nil, err
		}
	}
	h.rest.Reset(idle)
	if h.now.public != nil && !sameKey(h.now.public, public) {
		return nil, fmt.Errorf("%w: %s is a different key", verify.ErrWrong, h.uri)
	}
	return h.now, nil
}

func sameKey(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// begin starts a process. The caller holds mu.
func (h *helper) begin() error {
	if h.failed != nil && time.Now().Before(h.retry) {
		return h.failed
	}
	err := h.launch()
	h.failed = err
	h.retry = time.Now().Add(pause)
	return err
}

func (h *helper) launch() error {
	config, pin, err := configOf(h.uri)
	if err != nil {
		return err
	}
	defer clear(config)
	p, err := start(h.command, config, pin)
	if err != nil {
		return err
	}
	if err := p.identify(patience); err != nil {
		said := p.last()
		p.close()
		if errors.Is(err, errSlow) {
			return err
		}
		return fmt.Errorf("the helper %s ended: %s", h.command[0], said)
	}
	h.now = p
	h.rest = time.AfterFunc(idle, h.stop)
	return nil
}

// drop ends a process that is of no use any more, and says so.
func (h *helper) drop(p *process, err error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := p.last()
	if h.now == p {
		h.end()
	}
	if errors.Is(err, errSlow) {
		return err
	}
	return fmt.Errorf("the helper %s ended: %s", h.command[0], said)
}

// end ends the process. The caller holds mu.
func (h *helper) end() {
	if h.now == nil {
		return
	}
	h.rest.Stop()
	h.now.close()
	h.now = nil
}

// stop ends the process, if there is one.
func (h *helper) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}
