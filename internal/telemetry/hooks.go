package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Hooks returns hooks that write what the libraries report to a log and to the metrics
// of the process. They may be used for any number of resolver.Hosts.
func Hooks(logger *log.Entry) resolver.Hooks {
	l := &lines{logger: logger}
	return resolver.Hooks{
		Transport: certsd.Hooks{
			OnAttempt: countAttempt,
			OnRotate: func(r certsd.Rotation) {
				rotations.WithValues(hostLabels.of(r.Host), label(r.Reason)).Inc()
				l.rotation(r)
			},
			OnRound: func(ctx context.Context, r certsd.Round) {
				l.round(ctx, r)
				if ctx.Err() == nil {
					state.Round(r, resultOf)
				}
			},
			OnHandshake: func(h certsd.Handshake) {
				handshakes.WithValues(hostLabels.of(h.Host)).Inc()
				state.Handshake(h)
			},
			OnWarning: l.transportWarning,
		},
		OnUse: func(host *certsd.Host) {
			noteUse(host)
			state.Use(host)
		},
		OnLoad: func(ctx context.Context, loaded hostdir.Loaded) {
			state.Load(ctx, loaded)
			if loaded.Config != nil {
				noteUse(loaded.Config)
			}
		},
		OnReload: func(r hostdir.Reload) {
			countReload(r)
			l.reload(r)
		},
		OnWarning: l.warning,
		OnLayer:   countLayer,
		OnBegin:   state.Begin,
		OnConvert: l.conversion,
	}
}

func noteUse(host *certsd.Host) {
	hostLabels.use(host)
	expiry.use(host)
}

func countAttempt(a certsd.Attempt) {
	if a.Skipped == "" {
		requests.WithValues(hostLabels.of(a.Host), label(a.Identity), resultOf(a)).Inc()
	}
}

func countReload(r hostdir.Reload) {
	result := "changed"
	switch {
	case r.Err != nil:
		result = "failed"
	case !r.Changed:
		return // only a warning is new
	}
	reloads.WithValues(hostLabels.of(r.Host), result).Inc()
}

func countLayer(p v1compat.Progress) {
	switch {
	case p.Known:
		v1Layers.WithValues("known").Inc()
	case p.Done:
		v1Layers.WithValues("converted").Inc()
	}
}

// statusLabel returns the status, or only its class if the status is not standard: a
// server must not be able to create hundreds of series.
func statusLabel(status int) string {
	if http.StatusText(status) == "" && status/10 != 49 && status/10 != 52 {
		return strconv.Itoa(status/100) + "xx"
	}
	return strconv.Itoa(status)
}

// resultOf returns a label with few values: the status, "refused" for a certificate
// that was refused other than by a 403, "verify" for a server whose own certificate
// could not be verified, "dial" and "error".
func resultOf(a certsd.Attempt) string {
	switch {
	case a.Refused:
		return resultRefused
	case a.Err == nil:
		return statusLabel(a.Status)
	case unverified(a.Err):
		return resultVerify
	case unreachable(a.Err):
		return resultDial
	}
	return resultError
}

const (
	resultRefused = "refused"
	resultVerify  = "verify"
	resultDial    = "dial"
	resultError   = "error"
)

// unverified reports whether a connection failed because of the server's certificate.
func unverified(err error) bool {
	tlsError := errors.As(err, new(*tls.CertificateVerificationError))
	wrapped := errors.As(err, new(*certsd.VerificationError))
	return tlsError || wrapped
}

// unreachable reports whether no connection was made at all.
func unreachable(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect") {
		return true
	}
	ok := errors.As(err, new(*net.DNSError))
	return ok
}

// identitiesOf lists the client certificates of a host for a log line.
func identitiesOf(host *certsd.Host) string {
	if host == nil {
		return ""
	}
	var names []string
	seen := map[string]bool{}
	for _, ep := range host.Endpoints {
		for _, id := range ep.Identities {
			if !seen[id.Name] {
				seen[id.Name] = true
				names = append(names, id.Name)
			}
		}
	}
	return strings.Join(names, ",")
}
