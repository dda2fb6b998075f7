package resolver

import (
	"context"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
)

// registries are the endpoints of each registry that one pull or push asks. There
// is one list for each, so that all that is done for the pull shares its tokens.
type registries struct {
	hosts   *Hosts
	options *Options

	// mu guards known.
	mu    sync.Mutex
	known map[string][]docker.RegistryHost
}

// ahead looks up the registry for of and for the first request of a call alike,
// where neither has been done. What is wrong with a directory is left for of to
// meet.
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
	hosts, err := r.hosts.endpoints(registry, host, *r.options)
	if err != nil {
		return ctx
	}
	r.known[registry] = hosts
	return ahead
}

// of is the docker.RegistryHosts of the pull.
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

// endpoints are those that may be asked about spec for what c names, in their
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

// onlyPlain reports whether all endpoints of a registry are spoken to in plain
// HTTP.
func (r *registries) onlyPlain(registry string) (bool, error) {
	hosts, err := r.of(registry)
	return !slices.ContainsFunc(hosts, func(rh docker.RegistryHost) bool { return rh.Scheme != "http" }), err
}
