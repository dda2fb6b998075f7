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

// status returns what the image service uses now.
func (s *server) status() *status.Status {
	return telemetry.State().Snapshot(status.Daemon{
		Kind: status.ImageService, Containerd: s.options.Containerd, CRI: status.CRIUses,
		Roots: s.hosts.Roots, Hosts: []*resolver.Hosts{s.hosts},
	})
}

// answerStatus answers the service of statusrpc, which containerd may have, too:
// here it is this process that is asked.
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

// statusHandler serves the status to those who may read the metrics.
func (s *server) statusHandler() http.Handler {
	page := &statuspage.Handler{Snapshot: s.status}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _ := os.Hostname() // none is no name
		if !statuspage.KnowsName(r, name) {
			http.Error(w, "the status is served only to requests by address, or by the name of this machine", http.StatusMisdirectedRequest)
			return
		}
		page.ServeHTTP(w, r)
	})
}
