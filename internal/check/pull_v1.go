package check

import (
	"context"
	"net/http"
	"strings"

	"github.com/certsd/containerd-certsd/v1compat"
)

// pullV1 reads the history of a Registry v1 image and the beginning of its layers.
func (p *puller) pullV1(ctx context.Context) error {
	hosts, err := p.options.Hosts.RegistryHostsFor(p.inspection.Name, p.options)
	if err != nil {
		return err
	}
	host := hosts[len(hosts)-1]
	for i, e := range p.report.Endpoints {
		if e.Live != nil && e.Live.Protocol == "v1" {
			host = hosts[i]
			break
		}
	}
	client := &v1compat.Client{
		Scheme: host.Scheme, Host: host.Host,
		HTTP: &http.Client{Transport: host.Client.Transport},
	}
	if p.Credentials != nil {
		client.Credentials = func(_ context.Context, name string) (string, string, error) {
			if name != host.Host {
				return "", "", nil
			}
			return p.Credentials(name)
		}
	}
	tag := "latest"
	if t, ok := strings.CutPrefix(p.repository.object, ":"); ok {
		tag, _, _ = strings.Cut(t, "@")
	}
	image, err := client.Image(ctx, p.repository.name, tag)
	if err != nil {
		return err
	}
	return image.Begin(ctx)
}
