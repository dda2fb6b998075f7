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

// Limits for a helper.
const (
	// patience is how long a signature may take: a handshake has 10 seconds.
	patience = 5 * time.Second
	// idle is how long an unused helper is kept.
	idle = 15 * time.Minute
	// pause is the wait before another start of a helper that failed to start.
	pause = time.Second
)

// errSlow reports that a helper did not answer in time.
var errSlow = fmt.Errorf("the helper did not answer within %s", patience)

// Helpers manages helper processes, one for each key. They start when a key is first
// needed, and end with this process or with Close.
type Helpers struct {
	// Command is the command of the helper. The path of its configuration is
	// appended, unless the last argument is a configuration file, NAME.json.
	Command []string

	// mu guards all, which holds the helpers by the hash of their key files.
	mu  sync.Mutex
	all map[[sha256.Size]byte]*helper
}

// Key is a key in a token. It implements certsd's DeviceKey.
type Key struct {
	uri    *pkcs11uri.URI
	cert   *x509.Certificate
	helper *helper
}

// Open parses a key file. The helper is not started before the first signature.
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

// Close stops all helpers. They are started again when needed.
func (h *Helpers) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, helper := range h.all {
		helper.stop()
	}
	return nil
}

// Public implements crypto.Signer. Only a signature shows whether the token has this
// key.
func (k *Key) Public() crypto.PublicKey { return k.cert.PublicKey }

// Device describes where the key is.
func (k *Key) Device() string { return "token with " + k.uri.String() }

// SignatureSchemes returns nil, which stands for all schemes of the key's type.
func (k *Key) SignatureSchemes() []tls.SignatureScheme { return nil }

// Sign implements crypto.Signer. It verifies the first signature that a helper makes
// in each manner: an error in one would be in all.
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

// manner is a way to sign.
type manner struct {
	hash crypto.Hash
	pss  bool
}

// plain returns options as the types registered with encoding/gob.
func plain(opts crypto.SignerOpts) crypto.SignerOpts {
	if pss, is := opts.(*rsa.PSSOptions); is {
		return &rsa.PSSOptions{SaltLength: pss.SaltLength, Hash: pss.Hash}
	}
	return opts.HashFunc()
}

// helper manages the helper process for one key.
type helper struct {
	command []string
	uri     *pkcs11uri.URI

	// mu guards the fields below, and serializes starts and stops.
	mu   sync.Mutex
	now  *process
	rest *time.Timer
	// failed is the error of the last start, returned until retry.
	failed error
	retry  time.Time
}

// sign has the helper sign. It starts a helper that is not running or has died.
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

// running returns the helper's process, and starts it if necessary.
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

// drop stops a process that has become useless, and returns the error to report.
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

// end stops the process. The caller holds mu.
func (h *helper) end() {
	if h.now == nil {
		return
	}
	h.rest.Stop()
	h.now.close()
	h.now = nil
}

// stop stops the process, if there is one.
func (h *helper) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}
