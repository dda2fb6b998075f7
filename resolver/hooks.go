package resolver

import (
	"context"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Hooks observe hosts and transports, for logs and metrics; spans do not depend on
// them, as with containerd's resolver. Each may be nil; they are called concurrently
// and must not block.
type Hooks struct {
	// Transport observes attempts, rotations and handshakes.
	Transport certsd.Hooks
	// OnUse observes the configuration that a pull or push begins with.
	OnUse func(*certsd.Host)
	// OnLoad observes lookups that found something new on disk, with the context of
	// the request they were made for.
	OnLoad func(context.Context, hostdir.Loaded)
	// OnReload observes changed and broken host directories.
	OnReload func(hostdir.Reload)
	// OnWarning observes problems that do not prevent the use of a host.
	OnWarning func(host string, problem error)
	// OnLayer observes the layers of conversions.
	OnLayer func(v1compat.Progress)
	// OnBegin observes conversions and downloads when they begin. The [Watch] that
	// it returns, if not nil, is notified of their progress and their end.
	OnBegin func(Work) Watch
	// OnConvert observes conversions when they end, with the context of the
	// pull.
	OnConvert func(context.Context, Conversion)
}

func (h Hooks) observe(directories *certsd.Hosts, transport *certsd.Transport) {
	directories.Hooks.OnReload = h.OnReload
	directories.Hooks.OnWarning = h.OnWarning
	transport.Hooks = h.Transport
	directories.Hooks.OnLoad = func(ctx context.Context, l hostdir.Loaded) {
		traceLookup(ctx, l)
		if h.OnLoad != nil {
			h.OnLoad(ctx, l)
		}
	}
	transport.Hooks.OnRound = func(ctx context.Context, r certsd.Round) {
		traceRound(ctx, r)
		if h.Transport.OnRound != nil {
			h.Transport.OnRound(ctx, r)
		}
	}
}

// warn returns OnWarning for code that reports problems without naming the host.
func (h Hooks) warn(host string) func(error) {
	if h.OnWarning == nil {
		return nil
	}
	return func(problem error) { h.OnWarning(host, problem) }
}

// progress returns a function that reports a conversion to both the hook and the
// pull.
func (h Hooks) progress(pull func(v1compat.Progress)) func(v1compat.Progress) {
	return func(p v1compat.Progress) {
		if h.OnLayer != nil {
			h.OnLayer(p)
		}
		if pull != nil {
			pull(p)
		}
	}
}
