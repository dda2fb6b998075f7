package plugin

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
)

// warnOfCRI warns if CRI, which has started, pulls images by itself. containerd logs
// the key responsible, but not that this bypasses certsd.
func warnOfCRI(ctx context.Context, started []plugin.Registration) {
	for _, r := range started {
		if isCRI(r) && pullsItself(r.Config) {
			log.G(ctx).Warn("certsd: CRI pulls by itself, because of a key in its section: see https://github.com/certsd/containerd-certsd/blob/main/docs/configuration.md")
		}
	}
}

func isCRI(r plugin.Registration) bool {
	return r.Type == plugins.CRIServicePlugin && r.ID == "images"
}

// pullsItself reads CRI's configuration, where CRI records its decision at startup.
// Its type is internal to containerd; its JSON is what "crictl info" prints.
func pullsItself(config any) bool {
	var images struct {
		UseLocalImagePull bool `json:"useLocalImagePull"`
	}
	data, err := json.Marshal(config)
	return err == nil && json.Unmarshal(data, &images) == nil && images.UseLocalImagePull
}
