// Package keys opens private keys of client certificates that are not in files:
// keys in a TPM of this machine, and keys in tokens, for which a helper
// process signs. Package certsd, which has no dependencies, receives it as its
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

// Devices holds the devices that sign for a process. Its zero value uses the TPM that
// the environment names, or /dev/tpmrm0, and no tokens. Use one value for the life of
// the process, as a TPM serves one request at a time. It may be used concurrently,
// and must not be copied after its first use.
type Devices struct {
	// TPM signs for keys of a TPM.
	TPM tpmkey.TPM
	// Helpers signs for keys in PKCS #11 tokens.
	Helpers signer.Helpers
}

// New returns devices with the command of a helper for tokens, empty for none.
func New(command []string) *Devices {
	return &Devices{Helpers: signer.Helpers{Command: command}}
}

// Close stops the helpers.
func (d *Devices) Close() error { return d.Helpers.Close() }

// Default holds the devices to use where none are given.
var Default = &Devices{}

// Opener returns the KeyOpener of [Default], or of new devices if signer is the
// command of a helper for PKCS #11 tokens. Errors begin with the settings key.
// Helpers end with the process.
func Opener(signer []string) (hostdir.KeyOpener, error) {
	if len(signer) == 0 {
		return Default.Open, nil
	}
	if signer[0] == "" {
		return nil, errors.New("signer: the command is empty")
	}
	return New(signer).Open, nil
}

// Open is a certsd.KeyOpener. It returns nil for a file with neither kind of key.
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
