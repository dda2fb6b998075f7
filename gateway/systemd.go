package gateway

import (
	"context"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/daemon"
)

// notify tells systemd about the state of the process. A failure does not stop the
// gateway.
func notify(ctx context.Context, state string) {
	if err := daemon.Notify(state); err != nil {
		log.G(ctx).WithError(err).Warn("certsd gateway: cannot notify systemd: " + state)
	}
}
