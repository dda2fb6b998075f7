package resolver

import (
	"context"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
)

// registries holds the endpoints of each registry that one pull or push asks. There
// is one list per registry, so that everything done for the pull shares its tokens.
type registries struct {
	hosts   *Hosts
	options *Options

	// mu guards known.
	mu    sync.Mutex
	known map[string][]docker.RegistryHost
}

// ahead looks up the registry once, both for of and for the first request of a call,
// unless that was done already. It leaves problems with a directory to of.
func (r *registries) ahead(ctx context.Context, registry string) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.known[registry]; ok {
		return ctx
	}
	ahead, host, err := r.hosts.directories().LookupFor(ctx, registry)
	if err != nil {
		return ctx
	}
	hosts, err := assembly{r.hosts}.endpoints(registry, host, *r.options)
	if err != nil {
		return ctx
	}
	r.known[registry] = hosts
	return ahead
}

// of returns the docker.RegistryHosts of the pull.
func (r *registries) of(registry string) ([]docker.RegistryHost, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hosts, ok := r.known[registry]; ok {
		return hosts, nil
	}
	hosts, err := r.hosts.registryHosts(registry, *r.options)
	if err != nil {
		return nil, err
	}
	r.known[registry] = hosts
	return hosts, nil
}

// endpoints returns the endpoints with capabilities c for requests about spec, in
// order.
func (r *registries) endpoints(spec reference.Spec, c docker.HostCapabilities) ([]*endpoint, error) {
	hosts, err := r.of(spec.Hostname())
	if err != nil {
		return nil, err
	}
	var able []*endpoint
	for _, rh := range hosts {
		if rh.Capabilities.Has(c) {
			able = append(able, &endpoint{RegistryHost: rh, spec: spec, pull: r.options.Header})
		}
	}
	return able, nil
}

// onlyPlain reports whether all endpoints of a registry use plain HTTP.
func (r *registries) onlyPlain(registry string) (bool, error) {
	hosts, err := r.of(registry)
	return !slices.ContainsFunc(hosts, func(rh docker.RegistryHost) bool { return rh.Scheme != "http" }), err
}
