package imageservice

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strings"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// auth holds the credentials of a request.
type auth struct {
	user, password, encoded, server, identityToken, registryToken string
}

func authOf(a *runtime.AuthConfig) auth {
	return auth{
		user: a.GetUsername(), password: a.GetPassword(), encoded: a.GetAuth(), server: a.GetServerAddress(),
		identityToken: a.GetIdentityToken(), registryToken: a.GetRegistryToken(),
	}
}

// errAuth does not quote the credentials.
var errAuth = errors.New(`the request's credentials cannot be used: "auth" is not USER:PASSWORD in base64`)

// credentials returns the credentials for a registry that asks, none if they are meant
// for another server.
func (a auth) credentials(registry string) (user, secret string, err error) {
	if !a.meant(registry) {
		return "", "", nil
	}
	switch {
	case a.user != "":
		return a.user, a.password, nil
	case a.identityToken != "":
		return "", a.identityToken, nil
	case a.encoded != "":
		return decodeAuth(a.encoded)
	default:
		return "", "", nil
	}
}

func decodeAuth(encoded string) (user, secret string, err error) {
	// Some clients omit the padding.
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return "", "", errAuth
	}
	user, secret, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", errAuth
	}
	return user, strings.Trim(secret, "\x00"), nil
}

// bearer returns the Authorization to send without a challenge: the registry token,
// which is valid for the registry itself and not for a mirror.
func (a auth) bearer(registry string) string {
	if a.registryToken == "" || a.user != "" || a.identityToken != "" || a.encoded != "" || !a.meant(registry) {
		return ""
	}
	return "Bearer " + a.registryToken
}

// answersFor reports whether the request has credentials for a registry: the node's
// must not replace them if they are refused.
func (a auth) answersFor(registry string) bool {
	return (a.user != "" || a.identityToken != "" || a.encoded != "" || a.registryToken != "") && a.meant(registry)
}

// meant reports whether the credentials are meant for a registry.
func (a auth) meant(registry string) bool {
	if a.server == "" {
		return true
	}
	server := serverOf(a.server)
	return server != "" && server == serverOf(registry)
}

// serverOf returns the canonical host[:port] in a server's address, which may be a URL
// as in Docker's configuration; empty if it has none.
func serverOf(address string) string {
	host := address
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		host = u.Host
	} else {
		host, _, _ = strings.Cut(host, "/")
	}
	host, err := hostname.Canonical(host)
	if err != nil {
		return ""
	}
	host = hostname.SpellingKey(host)
	if hostname.IsDockerHub(host) {
		return hostname.DockerHub
	}
	return host
}
