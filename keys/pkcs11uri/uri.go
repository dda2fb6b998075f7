// Package pkcs11uri parses the URIs of RFC 7512, which locate a private key in a
// PKCS #11 token.
package pkcs11uri

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// scheme is the prefix of such a URI.
const scheme = "pkcs11:"

// maxURI bounds the URI in bytes.
const maxURI = 4096

// URI identifies a token and a key in it. Empty fields match anything.
type URI struct {
	// Token, Manufacturer, Model and Serial describe the token; SlotID is the number
	// of its slot, nil for any.
	Token, Manufacturer, Model, Serial string
	SlotID                             *uint64
	// Object and ID identify the key.
	Object string
	ID     []byte
	// ModulePath is the library that speaks to the token, ModuleName its name.
	ModulePath, ModuleName string
	// PinSource is the file with the PIN, PinValue the PIN.
	PinSource, PinValue string
}

// Is reports whether a file's content is such a URI.
func Is(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte(scheme))
}

// Parse parses the URI that a file holds, on one line. Errors never repeat a value,
// which may be a PIN.
func Parse(data []byte) (*URI, error) {
	text := strings.TrimSpace(string(data))
	rest, is := strings.CutPrefix(text, scheme)
	switch {
	case !is:
		return nil, errors.New("it is not a pkcs11: URI")
	case len(text) > maxURI:
		return nil, fmt.Errorf("the URI has more than %d characters", maxURI)
	case strings.ContainsAny(text, "\r\n\x00"):
		return nil, errors.New("the file has more than the one line of the URI")
	case strings.ContainsAny(text, " \t"):
		return nil, errors.New("the URI contains a space: write %20")
	}
	path, query, _ := strings.Cut(rest, "?")
	u := new(URI)
	if err := u.attributes(path, ";", u.pathAttribute); err != nil {
		return nil, err
	}
	if err := u.attributes(query, "&", u.queryAttribute); err != nil {
		return nil, err
	}
	return u, u.check()
}

func (u *URI) check() error {
	switch {
	case u.Object == "" && len(u.ID) == 0:
		return errors.New("the URI does not name a key: object=LABEL or id=%01")
	case u.PinSource != "" && u.PinValue != "":
		return errors.New("the URI has both pin-source and pin-value")
	case u.ModulePath != "" && !strings.HasPrefix(u.ModulePath, "/"):
		return errors.New("module-path is not an absolute path")
	case strings.ContainsAny(u.ModuleName, "/\x00"):
		return errors.New("module-name must be a name, not a path: write module-path")
	case strings.ContainsRune(u.ModulePath, 0), strings.ContainsRune(u.PinSource, 0):
		return errors.New("a path in it has a NUL byte")
	}
	return nil
}

// attributes parses NAME=VALUE pairs, and refuses a name that appears twice.
func (u *URI) attributes(text, separator string, set func(name, value string) error) error {
	seen := map[string]bool{}
	for attribute := range strings.SplitSeq(text, separator) {
		if attribute == "" {
			continue
		}
		name, encoded, is := strings.Cut(attribute, "=")
		name = printable(name)
		if !is {
			return fmt.Errorf("the attribute %s has no value", name)
		}
		if seen[name] {
			return fmt.Errorf("the attribute %s appears twice", name)
		}
		seen[name] = true
		value, err := url.PathUnescape(encoded)
		if err != nil {
			return fmt.Errorf("the value of %s is not percent-encoded as it should be", name)
		}
		if err := set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// printable returns a name for an error, unless it may be something else, pasted by
// mistake.
func printable(name string) string {
	for _, r := range name {
		if (r < 'a' || r > 'z') && r != '-' {
			return "that is not a name"
		}
	}
	if len(name) > 32 {
		return "that is not a name"
	}
	return name
}

func (u *URI) pathAttribute(name, value string) error {
	switch name {
	case "token":
		u.Token = value
	case "manufacturer":
		u.Manufacturer = value
	case "model":
		u.Model = value
	case "serial":
		u.Serial = value
	case "object":
		u.Object = value
	case "id":
		u.ID = append(u.ID, value...)
	case "slot-id":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return errors.New("slot-id is not a decimal number")
		}
		u.SlotID = &n
	case "type":
		if value != "private" {
			return errors.New("type is not private: it is the private key that is needed")
		}
	case "slot-manufacturer", "slot-description", "library-manufacturer", "library-description", "library-version":
		return fmt.Errorf("the attribute %s is not supported: name the token", name)
	case "pin-source", "pin-value", "module-path", "module-name":
		return fmt.Errorf("the attribute %s belongs after the question mark", name)
	default:
		return fmt.Errorf("the attribute %s is unknown", name)
	}
	return nil
}

func (u *URI) queryAttribute(name, value string) error {
	switch name {
	case "pin-source":
		path, err := filePath(value)
		if err != nil {
			return err
		}
		u.PinSource = path
	case "pin-value":
		u.PinValue = value
	case "module-path":
		u.ModulePath = value
	case "module-name":
		u.ModuleName = value
	default:
		return fmt.Errorf("the attribute %s is unknown", name)
	}
	return nil
}

// filePath returns the path in pin-source: a path, or a file: URI. Commands are not
// run.
func filePath(value string) (string, error) {
	if rest, is := strings.CutPrefix(value, "file:"); is {
		rest = strings.TrimPrefix(rest, "//localhost")
		value = strings.TrimPrefix(rest, "//")
	}
	if !strings.HasPrefix(value, "/") {
		return "", errors.New("pin-source is neither an absolute path nor file: with one")
	}
	return value, nil
}

// String returns the URI without its PIN.
func (u *URI) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+escape(value))
		}
	}
	add("token", u.Token)
	add("manufacturer", u.Manufacturer)
	add("model", u.Model)
	add("serial", u.Serial)
	if u.SlotID != nil {
		add("slot-id", strconv.FormatUint(*u.SlotID, 10))
	}
	add("object", u.Object)
	add("id", string(u.ID))
	return scheme + strings.Join(parts, ";")
}

// escape percent-encodes all but the unreserved characters of RFC 3986.
func escape(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
