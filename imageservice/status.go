package imageservice

import (
	"net/http"
	"os"

	"google.golang.org/grpc"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// status returns the present state of the image service.
func (s *server) status() *status.Status {
	return telemetry.State().Snapshot(status.Daemon{
		Kind: status.ImageService, Containerd: s.options.Containerd, CRI: status.CRIUses,
		Roots: s.hosts.Roots, Hosts: []*resolver.Hosts{s.hosts},
	})
}

// answerStatus answers the service of statusrpc for this process, instead of passing
// the call on to a containerd that may have the service, too.
func (s *server) answerStatus(stream grpc.ServerStream) error {
	var question frame
	if err := stream.RecvMsg(&question); err != nil {
		return err
	}
	st, err := statusrpc.Encode(s.status())
	if err != nil {
		return err
	}
	answer, err := encode(st)
	if err != nil {
		return err
	}
	return stream.SendMsg(answer)
}

// statusHandler serves the status next to the metrics, but only under this machine's
// name or an address.
func (s *server) statusHandler() http.Handler {
	page := &statuspage.Handler{Snapshot: s.status}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname() // without a name only addresses count
		if !statuspage.KnowsName(r, name) {
			http.Error(w, "the status is served only to requests by address, or by the name of this machine", http.StatusMisdirectedRequest)
			return
		}
		page.ServeHTTP(w, r)
	})
}
