// Package v1policy decides which registries are asked in Registry v1: what the root of
// a v2 API says about it, what follows from that under a policy, and which setting
// has a registry asked.
package v1policy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// SettingFor says which setting has a registry asked in v1.
func SettingFor(host *hostdir.Host) string {
	if host.RegistryV1 == "" {
		return `set registry_v1 = "always", in its hosts.toml or for all`
	}
	return fmt.Sprintf(`its hosts.toml says registry_v1 = %q: make that "always"`, host.RegistryV1)
}

// Base is what the root of a registry's v2 API tells of v1.
type Base int

// The kinds of roots.
const (
	// Else says nothing: it could not be reached, forbids or is broken.
	Else Base = iota
	// None is that of a registry that knows no v2: 404 without the header
	// that every v2 registry sends.
	None
	// Odd is a 400, 405 or 501 that is no error of v2: a v1 repository of
	// Artifactory, a proxy that passes v1 alone.
	Odd
	// V2 is that of a v2 registry, which may have v1 beside it.
	V2
)

// Classify says which one an answer is.
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

// isV2Error reports whether a body is an error as the distribution specification
// has it: each has a code.
func isV2Error(body []byte) bool {
	var said struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	return json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 && said.Errors[0].Code != ""
}

// Speaks reports whether a root may be followed by a question in v1.
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
