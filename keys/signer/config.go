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

// Config is the configuration that a helper reads when it starts: that of
// enterprise-certificate-proxy with the fields its signers know, and the URI for the
// helper that understands URIs.
type Config struct {
	CertConfigs struct {
		PKCS11 PKCS11 `json:"pkcs11"`
	} `json:"cert_configs"`
	Certsd struct {
		// URI has no PIN.
		URI string `json:"uri,omitempty"`
	} `json:"certsd"`
}

// PKCS11 locates a key in a token.
type PKCS11 struct {
	// Slot is the number of the slot in hexadecimal, empty if the URI has none.
	Slot   string `json:"slot"`
	Label  string `json:"label"`
	Module string `json:"module"`
	// UserPIN is the PIN, empty for none.
	UserPIN string `json:"user_pin,omitempty"`
}

// configOf returns a helper's configuration for a key, and the PIN in it. The PIN is
// read each time, as it may have changed.
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

// maxPIN bounds a PIN: PKCS #11 has no limit, but tokens allow only some dozens.
const maxPIN = 1024

// readPIN reads the file of pin-source. Errors never contain its content.
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

// private returns an error if everybody may read a file.
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

// errPINPublic reports that everybody can read a PIN, or the file that locates it.
var errPINPublic = errors.New("the PIN is not safe there")

// keyFile parses a key file, and refuses one that exposes a PIN.
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
	// The file of pin-source is checked when it is read: it is outside the directory,
	// and its permissions may be fixed in the meantime.
	return u, err
}

// hidden masks a PIN in a text.
func hidden(text, pin string) string {
	if pin == "" {
		return text
	}
	return strings.ReplaceAll(text, pin, "***")
}
