package dockerconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// config is the content of a file.
type config struct {
	Auths       map[string]entry  `json:"auths"`
	CredHelpers map[string]string `json:"credHelpers"`
	CredsStore  string            `json:"credsStore"`

	// exposed reports that others may read the file, nil if they may not.
	exposed error
}

// entry holds the credentials for a key.
type entry struct {
	Auth          string `json:"auth"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	IdentityToken string `json:"identitytoken"`
	RegistryToken string `json:"registrytoken"`
}

// parse parses a file's content. An error begins with the line and never quotes a
// value, as errors of encoding/json may.
func parse(data []byte) (*config, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return &config{}, nil
	}
	c := &config{}
	err := json.Unmarshal(data, c)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("%d: is not valid JSON", lineOf(data, syntax.Offset))
	case errors.As(err, &kind):
		what, _, _ := strings.Cut(kind.Value, " ")
		wanted := "an object"
		if kind.Type.Kind().String() == "string" {
			wanted = "a string"
		}
		return nil, fmt.Errorf("%d: %s is not %s, but a JSON %s", lineOf(data, kind.Offset), kind.Field, wanted, what)
	default:
		return nil, errors.New(" is not a configuration of Docker's")
	}
}

// lineOf returns the line of the byte before offset.
func lineOf(data []byte, offset int64) int {
	before := data[:min(max(offset-1, 0), int64(len(data)))]
	return 1 + bytes.Count(before, []byte("\n"))
}

func (c *config) hasSecrets() bool {
	for _, e := range c.Auths {
		if !e.empty() {
			return true
		}
	}
	return false
}

func (e entry) empty() bool { return e == entry{} }

// credentials returns the credentials in an entry; an identity token has no user.
func (e entry) credentials() (user, secret string, err error) {
	switch {
	case e.IdentityToken != "":
		return "", e.IdentityToken, nil
	case e.Auth != "":
		return decodeAuth(e.Auth)
	case e.Username != "":
		return e.Username, e.Password, nil
	case e.RegistryToken != "":
		return "", "", errors.New("has only a registrytoken, which cannot be exchanged for anything: use docker login or podman login")
	default:
		return "", "", nil
	}
}

// decodeAuth decodes USER:PASSWORD in base64, from which some clients omit the padding.
// The error does not quote it.
func decodeAuth(encoded string) (user, secret string, err error) {
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err == nil {
		if user, secret, ok := strings.Cut(string(decoded), ":"); ok && user != "" {
			return user, strings.Trim(secret, "\x00"), nil
		}
	}
	return "", "", errors.New("auth is not USER:PASSWORD in base64: use docker login or podman login")
}
