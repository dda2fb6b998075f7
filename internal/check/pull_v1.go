package check

import (
	"context"
	"net/http"
	"strings"

	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
)

// pullV1 reads the history of an image of a Registry v1, and the beginning of its
// layers.
func (r *run) pullV1(ctx context.Context, p *Pull, options resolver.Options) error {
	hosts, err := r.shared.RegistryHostsFor(r.inspection.Name, options)
	if err != nil {
		return err
	}
	host := hosts[len(hosts)-1]
	for i, e := range r.report.Endpoints {
		if e.Live != nil && e.Live.Protocol == "v1" {
			host = hosts[i]
			break
		}
	}
	client := &v1compat.Client{
		Scheme: host.Scheme, Host: host.Host,
		HTTP: &http.Client{Transport: host.Client.Transport},
	}
	if r.Credentials != nil {
		client.Credentials = func(_ context.Context, name string) (string, string, error) {
			if name != host.Host {
				return "", "", nil
			}
			return r.Credentials(name)
		}
	}
	tag := "latest"
	if t, ok := strings.CutPrefix(r.repository.object, ":"); ok {
		tag, _, _ = strings.Cut(t, "@")
	}
	image, err := client.Image(ctx, r.repository.name, tag)
	if err != nil {
		return err
	}
	return image.Begin(ctx)
}
