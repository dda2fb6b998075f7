// Package keys opens private keys of client certificates that are not in files:
// keys in a TPM of this machine, and keys in tokens, for which a helper
// process signs. Package certsd, which depends on nothing, is given it as its
// KeyOpener.
package keys

import (
	"crypto"
	"errors"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
	"github.com/certsd/containerd-certsd/keys/signer"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

// Devices are the devices of a process that sign. Its zero value knows the TPM
// that the environment names, or /dev/tpmrm0, and no tokens. One value lives as
// long as the process: a TPM is asked by one at a time. It may be used
// concurrently, and must not be copied after its first use.
type Devices struct {
	// TPM signs for keys of a TPM.
	TPM tpmkey.TPM
	// Helpers sign for keys in PKCS #11 tokens.
	Helpers signer.Helpers
}

// New are devices with the command of a helper for tokens, empty for none.
func New(command []string) *Devices {
	return &Devices{Helpers: signer.Helpers{Command: command}}
}

// Close ends the helpers.
func (d *Devices) Close() error { return d.Helpers.Close() }

// Default are the devices where none are named.
var Default = &Devices{}

// Opener is that of [Default], or where keys in PKCS #11 tokens are signed for by a
// helper of devices with that command. An error begins with the key of the
// settings. Helpers end with the process.
func Opener(signer []string) (hostdir.KeyOpener, error) {
	if len(signer) == 0 {
		return Default.Open, nil
	}
	if signer[0] == "" {
		return nil, errors.New("signer: the command is empty")
	}
	return New(signer).Open, nil
}

// Open returns a certsd.KeyOpener.
func (d *Devices) Open(f hostdir.KeyFile) (crypto.Signer, error) {
	if tpmkey.IsKey(f.Data) {
		key, err := d.TPM.Open(f.Data)
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	if pkcs11uri.Is(f.Data) {
		key, err := d.Helpers.Open(f.Path, f.Data, f.Certificate)
		if err != nil {
			return nil, err
		}
		return key, nil
	}
	return nil, nil
}
