// Package certsd reads certs.d directories and presents the client
// certificates found there, one after another, until a registry accepts one.
//
// A directory named after a registry says how to reach it:
//
//	/etc/containerd/certs.d/
//	├── registry.example:5000/     (or registry.example_5000_)
//	│   ├── ca.crt                 a CA root: every *.crt
//	│   ├── alpha.cert             a client certificate ...
//	│   ├── alpha.key              ... and its key
//	│   ├── beta.cert              the next one, in alphabetical order
//	│   ├── beta.key
//	│   └── hosts.toml             containerd's host configuration
//	└── _default/                  for registries without a directory
//
// [Hosts] finds and caches the configuration of a registry, [Transport] is the
// http.RoundTripper that applies it. The package does not depend on containerd, only on
// the standard library and a TOML parser.
//
// Read it in the order in which a request passes through:
//
//	transport.go    where it enters; endpoint.go is the same for one endpoint
//	route.go        which settings apply to its host (header.go, plain_http.go)
//	round.go        one certificate after another: identities.go has their order,
//	                policy.go decides when to go on, memory.go remembers
//	try.go          one of them, on a connection of its own: endpoint_state.go, dial.go,
//	                present.go, exchange.go
//	answer.go       what of the answer is passed on
//	record.go       what was tried; faults.go and errors.go, why it failed
//
// It is recorded in a [github.com/certsd/containerd-certsd/certsd/trail.Trail]. Package
// hostdir reads directories, hoststoml reads hosts.toml, and hostname defines names.
package certsd

import (
	"context"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/certsd/trail"
)

// The contents of a directory, under the names that callers of [Transport] need.
type (
	// Hosts finds the configuration of a registry: see [hostdir.Hosts].
	Hosts = hostdir.Hosts
	// Roots are the certs.d directories, in the order in which they are searched.
	Roots = hostdir.Roots
	// SystemRoots says when the system's CA roots are used: see
	// [hostdir.SystemRoots].
	SystemRoots = hostdir.SystemRoots
	// Host is the configuration of one registry.
	Host = hostdir.Host
	// Endpoint is one server to ask for a registry's content.
	Endpoint = hostdir.Endpoint
	// Identity is a client certificate with its key.
	Identity = hostdir.Identity
	// KeyOpener opens keys that are not in files: see [hostdir.KeyOpener].
	KeyOpener = hostdir.KeyOpener
	// Problem is something wrong in a directory.
	Problem = hostdir.Problem
	// RotateOn is the set of HTTP statuses that make a [Transport] present the next
	// client certificate. Its zero value is Docker's: 403 and 5xx. Some answers lead to
	// the next certificate whatever the set, because they can only mean that the
	// certificate was refused: 495, 496, and nginx's 400 for either.
	RotateOn = hoststoml.RotateOn
)

// The outcome of a request.
type (
	// Trail is an account of what was tried: see [trail.Trail].
	Trail = trail.Trail
	// Attempt is one identity presented to a server, or passed over.
	Attempt = trail.Attempt
	// KeyError reports that a key in a device failed to sign.
	KeyError = hostdir.KeyError
	// ProxyError reports that a proxy did not connect to a server.
	ProxyError = hostdir.ProxyError
)

// The values of [SystemRoots].
const (
	FallbackRoots = hostdir.FallbackRoots
	AppendRoots   = hostdir.AppendRoots
)

// DefaultRoots is [hostdir.DefaultRoots].
func DefaultRoots() Roots { return hostdir.DefaultRoots() }

// ParseRoots is [hostdir.ParseRoots].
func ParseRoots(list string) Roots { return hostdir.ParseRoots(list) }

// ParseRotateOn is [hoststoml.ParseRotateOn].
func ParseRotateOn(entries []string) (RotateOn, error) { return hoststoml.ParseRotateOn(entries) }

// WithTrail returns a context whose requests are recorded in the trail. The newest
// 256 attempts are kept.
func WithTrail(ctx context.Context) (context.Context, *Trail) { return trail.With(ctx) }

// TrailOf returns the trail in which requests made with ctx are recorded, or nil.
func TrailOf(ctx context.Context) *Trail { return trail.Of(ctx) }
