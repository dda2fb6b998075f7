package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/containerd/v2/pkg/reference"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/v1policy"
)

// errNotRegistryV1 reports that the v2 answer stands.
var errNotRegistryV1 = errors.New("not a case for Registry v1")

// V1UnaskedError reports that a registry claims to speak v1, but was not asked in it.
type V1UnaskedError struct {
	Host string
	// Setting tells which setting would have it asked.
	Setting string
}

// Error implements error.
func (e *V1UnaskedError) Error() string {
	return fmt.Sprintf("%s answers /v1/_ping, but Registry v1 was not tried: %s", e.Host, e.Setting)
}

// Is reports whether target is errNotRegistryV1.
func (e *V1UnaskedError) Is(target error) bool { return target == errNotRegistryV1 }

// PolicyV1 returns the policy for v1 in a registry's directory, or else the common
// one.
func (h *Hosts) PolicyV1(host *certsd.Host) V1Policy {
	switch {
	case hostname.IsDockerHub(host.Name):
		return V1Never // it switched v1 off for good
	case host.RegistryV1 != "":
		return host.RegistryV1
	case h.RegistryV1 == "":
		return V1Configured
	default:
		return h.RegistryV1
	}
}

// AllowsV1 reports whether the v1 protocol may be used with a registry that does not
// speak v2.
func (h *Hosts) AllowsV1(host *certsd.Host) bool {
	policy := h.PolicyV1(host)
	return policy == V1Always || policy == V1Configured && host.Own
}

// endpoint returns the endpoint to ask in v1, judged by the answer of its v2 root: a
// failed connection, a 403 or a 5xx does not suggest v1. If one would answer but must
// not be asked, the error is a *V1UnaskedError.
func (v *v1Images) endpoint(ctx context.Context, spec reference.Spec) (*endpoint, error) {
	host, err := v.hosts.directories().Lookup(spec.Hostname())
	if err != nil {
		return nil, err
	}
	policy := v.hosts.PolicyV1(host)
	if policy == V1Never {
		return nil, errNotRegistryV1
	}
	endpoints, err := v.registries.endpoints(spec, docker.HostCapabilityPull|docker.HostCapabilityResolve)
	if err != nil {
		return nil, err
	}
	hint := errNotRegistryV1
	for _, e := range endpoints {
		if hostname.IsDockerHub(e.Host) || e.Path != "/v2" {
			continue
		}
		// A root that requires credentials speaks v2, whatever it answers with them.
		a, err := e.ask(ctx, question{})
		if err != nil {
			continue
		}
		base := v1policy.Classify(a.status, a.header, a.body)
		may := base.Speaks(policy, host.Own)
		if may && base == v1policy.None {
			return e, nil
		}
		switch {
		case base == v1policy.Else:
			continue
		case may && e.pings(ctx):
			return e, nil
		case may, !v.hosts.hints.would(ctx, e.Scheme+"://"+e.Host, func() bool { return e.pings(ctx) }):
			continue
		}
		if base == v1policy.None {
			hint = &V1UnaskedError{e.Host, "create a directory for it in certs.d, or set registry_v1 = \"always\""}
		} else {
			hint = &V1UnaskedError{e.Host, v1policy.SettingFor(host)}
		}
	}
	return nil, hint
}

// hints remembers which servers answer the ping of Registry v1 although v1 is not
// used with them: otherwise each missing image would cause another ping. The zero
// value is ready to use.
type hints struct {
	mu    sync.Mutex // guards known
	known map[string]hint
}

type hint struct {
	answers bool
	asked   time.Time
}

const (
	// hintAge is how long an answer to the ping is remembered.
	hintAge = 10 * time.Minute
	// maxHints bounds how many are remembered, as clients choose the registries.
	maxHints = 1024
)

// would reports whether a server answers the ping.
func (h *hints) would(ctx context.Context, server string, ping func() bool) bool {
	h.mu.Lock()
	known, ok := h.known[server]
	h.mu.Unlock()
	if ok && time.Since(known.asked) < hintAge {
		return known.answers
	}
	answers := ping()
	if ctx.Err() != nil {
		return answers // the request was cancelled
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHints {
		h.known = map[string]hint{}
	}
	h.known[server] = hint{answers, time.Now()}
	return answers
}

// pings reports whether a registry's ping says that it speaks v1.
func (e *endpoint) pings(ctx context.Context) bool {
	a, err := e.ask(ctx, question{at: &url.URL{Path: "/v1/_ping"}, limit: 64 << 10})
	return err == nil && answersPing(a.status, a.header, a.body)
}

// answersPing reports whether an answer to /v1/_ping comes from a registry: a front
// end may have a page for every path.
func answersPing(status int, header http.Header, body []byte) bool {
	if status != http.StatusOK {
		return false
	}
	if header.Get("X-Docker-Registry-Version") != "" || header.Get("X-Docker-Registry-Standalone") != "" {
		return true
	}
	text := strings.ToLower(strings.TrimSpace(string(body)))
	return !strings.Contains(strings.ToLower(header.Get("Content-Type")), "html") && !strings.HasPrefix(text, "<")
}

// oddAnswer reports whether a resolution failed with a status that servers send for
// unknown routes.
func oddAnswer(err error) bool {
	var answer remoteserrors.ErrUnexpectedStatus
	return errors.As(err, &answer) && oddStatus(answer.StatusCode)
}

func oddStatus(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}
