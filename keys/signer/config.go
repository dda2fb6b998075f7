package signer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

// Config is what a helper reads when it starts: the configuration file of
// enterprise-certificate-proxy, with what its signers know of a key, and the URI
// for the one that knows URIs.
type Config struct {
	CertConfigs struct {
		PKCS11 PKCS11 `json:"pkcs11"`
	} `json:"cert_configs"`
	Certsd struct {
		// URI has no PIN.
		URI string `json:"uri,omitempty"`
	} `json:"certsd"`
}

// PKCS11 is where a key is in a token.
type PKCS11 struct {
	// Slot is the number of the slot in hexadecimal, empty if the URI does not name
	// it.
	Slot   string `json:"slot"`
	Label  string `json:"label"`
	Module string `json:"module"`
	// UserPIN is the PIN, empty for none.
	UserPIN string `json:"user_pin,omitempty"`
}

// configOf returns what a helper learns about a key, and the PIN in it. That is read now:
// it may be another one than before.
func configOf(u *pkcs11uri.URI) (config []byte, pin string, err error) {
	var c Config
	module, err := u.Module()
	if err != nil {
		return nil, "", err
	}
	pin = u.PinValue
	if u.PinSource != "" {
		if pin, err = readPIN(u.PinSource); err != nil {
			return nil, "", err
		}
	}
	c.CertConfigs.PKCS11 = PKCS11{Label: u.Object, Module: module, UserPIN: pin}
	if u.SlotID != nil {
		c.CertConfigs.PKCS11.Slot = fmt.Sprintf("%#x", *u.SlotID)
	}
	c.Certsd.URI = u.String()
	config, err = json.Marshal(c)
	return config, pin, err
}

// maxPIN bounds a PIN: PKCS #11 has no limit, and tokens have some dozens.
const maxPIN = 1024

// readPIN reads the file of pin-source. Its content is in no error.
func readPIN(path string) (string, error) {
	if err := private(path, "the file of pin-source, "+path+","); err != nil {
		return "", err
	}
	data, err := plainfile.Read(path)
	if err != nil {
		return "", fmt.Errorf("pin-source: %w", err)
	}
	pin := strings.TrimRight(string(data), "\r\n")
	switch {
	case pin == "":
		return "", fmt.Errorf("pin-source: %s is empty", path)
	case len(pin) > maxPIN, strings.ContainsAny(pin, "\n\x00"):
		return "", fmt.Errorf("pin-source: %s must hold the PIN in one line and nothing else", path)
	}
	return pin, nil
}

// private returns an error if others than owner and group may read a file.
func private(path, what string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("pin-source: %w", err)
	}
	if info.Mode()&0o004 != 0 {
		return fmt.Errorf("%w: %s can be read by everybody: chmod o= %s", errPINPublic, what, plainfile.Quote(path))
	}
	return nil
}

// errPINPublic reports that a PIN, or where it is, stands where all can read it.
var errPINPublic = errors.New("the PIN is not safe there")

// keyFile reads a key file, and refuses one that is careless.
func keyFile(path string, data []byte) (*pkcs11uri.URI, error) {
	u, err := pkcs11uri.Parse(data)
	if err != nil {
		return nil, err
	}
	if u.PinSource == "" && u.PinValue == "" {
		return u, nil
	}
	err = private(path, "the key file")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the URI has a PIN, but it cannot be checked who can read the file")
	}
	// The file of pin-source is looked at when it is read: it is not part of the
	// directory, and may be put right meanwhile.
	return u, err
}

// hidden takes a PIN out of a text.
func hidden(text, pin string) string {
	if pin == "" {
		return text
	}
	return strings.ReplaceAll(text, pin, "***")
}
