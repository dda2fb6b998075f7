package plugin

import (
	"context"
	"encoding/json"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
)

// warnOfCRI says that CRI, which has started, pulls by itself. containerd logs
// for which key, but not that certsd is left out by it.
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

// pullsItself reads CRI's configuration, in which CRI notes its decision when it
// starts. Its type is internal to containerd, its JSON is what "crictl info"
// prints.
func pullsItself(config any) bool {
	var images struct {
		UseLocalImagePull bool `json:"useLocalImagePull"`
	}
	data, err := json.Marshal(config)
	return err == nil && json.Unmarshal(data, &images) == nil && images.UseLocalImagePull
}
