package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	tstreaming "github.com/containerd/containerd/v2/core/transfer/streaming"
	"github.com/containerd/containerd/v2/pkg/httpdbg"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// request is a client's request to the transfer service.
type request struct {
	reference string
	header    http.Header
	wishes    wishes
	// auth asks for the client's credentials; nil if it offers none.
	auth *authStream
	// ownLog is the log of a caller in this process; the service closes a gRPC
	// client's.
	ownLog io.WriteCloser
}

// wishes holds the parts of a request that containerd v2.4.2 loses between a gRPC
// client and the transfer plugin: registry.OCIRegistry.UnmarshalAny uses them for a
// resolver of its own and does not keep them.
type wishes struct {
	// hostDir is a list of certs.d roots, as given by --hosts-dir.
	hostDir string
	// scheme is "http" if the client asked for plain HTTP.
	scheme string
	// dump and trace request debug output, to log or, if that is nil, to containerd's
	// own log.
	dump, trace bool
	log         io.WriteCloser
}

// readRequest extracts the request from the stock registry, through the public method
// that serializes it.
func readRequest(ctx context.Context, stock *registry.OCIRegistry, fromClient *wishes) (*request, error) {
	streams := &memoryStreams{}
	message, err := stock.MarshalAny(ctx, streams)
	if err != nil {
		return nil, err
	}
	var m transfertypes.OCIRegistry
	if err := typeurl.UnmarshalTo(message, &m); err != nil {
		return nil, err
	}
	req := &request{reference: m.Reference}
	if r := m.Resolver; r != nil {
		req.header = headerOf(r.Headers)
		req.wishes = wishesOf(r)
		req.auth = newAuthStream(streams.peer(r.AuthStream))
		if log := streams.peer(r.LogsStream); log != nil {
			req.wishes.log = tstreaming.WriteByteStream(ctx, log)
		}
	}
	req.ownLog = req.wishes.log
	if fromClient != nil {
		req.wishes = *fromClient
	}
	return req, nil
}

func wishesOf(r *transfertypes.RegistryResolver) wishes {
	return wishes{
		hostDir: r.HostDir,
		scheme:  r.DefaultScheme,
		dump:    r.HttpDebug == transfertypes.HTTPDebug_DEBUG || r.HttpDebug == transfertypes.HTTPDebug_BOTH,
		trace:   r.HttpDebug == transfertypes.HTTPDebug_TRACE || r.HttpDebug == transfertypes.HTTPDebug_BOTH,
	}
}

// check refuses a list of roots that would mean other directories than the client
// expects: the default ones, or some below the daemon's.
func (w wishes) check() error {
	if w.hostDir == "" {
		return nil
	}
	if err := hostdir.CheckRoots(w.hostDir); err != nil {
		return fmt.Errorf("%w: the client's hosts directory: %w", errdefs.ErrInvalidArgument, err)
	}
	return nil
}

func headerOf(from map[string]string) http.Header {
	header := make(http.Header, len(from))
	for k, v := range from {
		header.Add(k, v)
	}
	return header
}

// updateClient returns a function that adds the requested debug output to a client.
func (w wishes) updateClient(ctx context.Context) func(*http.Client) error {
	if !w.dump && !w.trace {
		return nil
	}
	return func(client *http.Client) error {
		if w.dump {
			var log io.Writer
			if w.log != nil {
				log = w.log
			}
			httpdbg.DumpRequests(ctx, client, log)
		}
		if w.trace {
			httpdbg.DumpTraces(ctx, client)
		}
		return nil
	}
}

// credentials returns a credentials function for docker that asks the client's
// stream.
func (r *request) credentials(ctx context.Context) func(host string) (string, string, error) {
	if r.auth == nil {
		return nil
	}
	return func(host string) (string, string, error) {
		return r.auth.ask(ctx, host, r.reference)
	}
}

func (r *request) close() error {
	var errs []error
	if r.auth != nil {
		errs = append(errs, r.auth.close())
	}
	if r.ownLog != nil {
		if err := r.ownLog.Close(); err != nil && !errors.Is(err, io.EOF) {
			errs = append(errs, fmt.Errorf("closing the debug log: %w", err))
		}
	}
	return errors.Join(errs...)
}
