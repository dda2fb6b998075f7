// Package v1policy decides for which registries to use Registry v1: what the root of a
// v2 API shows, what follows from that under a policy, and which setting enables v1.
package v1policy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// SettingFor returns the setting that enables v1 for a registry.
func SettingFor(host *hostdir.Host) string {
	if host.RegistryV1 == "" {
		return `set registry_v1 = "always", in its hosts.toml or for all`
	}
	return fmt.Sprintf(`its hosts.toml says registry_v1 = %q: make that "always"`, host.RegistryV1)
}

// Base is what the root of a registry's v2 API shows about v1.
type Base int

// The kinds of roots.
const (
	// Else shows nothing: the root cannot be reached, forbids access or is broken.
	Else Base = iota
	// None is a registry without v2: a 404 without the header that every v2 registry
	// sends.
	None
	// Odd is a 400, 405 or 501 that is not an error of v2: a v1 repository of
	// Artifactory, or a proxy that passes only v1.
	Odd
	// V2 is a v2 registry, which may also have v1.
	V2
)

// Classify returns the kind of an answer.
func Classify(status int, header http.Header, body []byte) Base {
	ofV2 := strings.HasPrefix(header.Get("Docker-Distribution-API-Version"), "registry/2") || isV2Error(body)
	switch status {
	case http.StatusOK, http.StatusUnauthorized:
		return V2
	case http.StatusNotFound:
		if header.Get("Docker-Distribution-API-Version") == "" {
			return None
		}
		return V2
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		if !ofV2 {
			return Odd
		}
	}
	return Else
}

// isV2Error reports whether a body is an error of the distribution specification: each
// has a code.
func isV2Error(body []byte) bool {
	var said struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	return json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 && said.Errors[0].Code != ""
}

// Speaks reports whether to ask a registry in v1.
func (b Base) Speaks(policy hoststoml.RegistryV1, own bool) bool {
	switch b {
	case None:
		return policy == hoststoml.V1Always || policy == hoststoml.V1Configured && own
	case Odd, V2:
		return policy == hoststoml.V1Always
	default:
		return false
	}
}
