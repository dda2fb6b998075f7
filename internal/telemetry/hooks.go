package telemetry

import (
	"errors"
	"net"
	"strconv"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Hooks write what the libraries report to a log and to the metrics, which are
// those of the process. They may be used for any number of resolver.Hosts.
func Hooks(logger *log.Entry) resolver.Hooks {
	return resolver.Hooks{
		Transport: certsd.Hooks{
			OnAttempt:   countAttempt,
			OnRotate:    func(r certsd.Rotation) { logRotation(logger, r) },
			OnHandshake: func(h certsd.Handshake) { handshakes.WithValues(hostLabels.of(h.Host)).Inc() },
			OnWarning:   func(err error) { logger.WithError(err).Warn("certsd") },
		},
		OnUse:    expiry.use,
		OnReload: func(r certsd.Reload) { logReload(logger, r) },
		OnWarning: func(host string, problem error) {
			logger.WithField("host", host).WithError(problem).Warn("certsd")
		},
		OnLayer: countLayer,
	}
}

func countAttempt(a certsd.Attempt) {
	if a.Identity != "" {
		expiry.present(a)
	}
	if a.Skipped == "" {
		requests.WithValues(hostLabels.of(a.Host), a.Identity, resultOf(a)).Inc()
	}
}

// resultOf is a label of few values.
func resultOf(a certsd.Attempt) string {
	if a.Err == nil {
		return strconv.Itoa(a.Status)
	}
	if op, ok := errors.AsType[*net.OpError](a.Err); ok && op.Op == "dial" {
		return "dial"
	}
	if _, ok := errors.AsType[*net.DNSError](a.Err); ok {
		return "dial"
	}
	if refusedHandshake(a.Err) {
		return "tls"
	}
	return "error"
}

func refusedHandshake(err error) bool {
	if _, ok := errors.AsType[*certsd.RefusedError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*certsd.VerificationError](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

func logRotation(logger *log.Entry, r certsd.Rotation) {
	rotations.WithValues(hostLabels.of(r.Host), r.Reason).Inc()
	logger.WithFields(log.Fields{"host": r.Host, "from": r.From, "to": r.To, "reason": r.Reason}).
		Debug("certsd: trying the next client certificate")
}

func logReload(logger *log.Entry, r certsd.Reload) {
	entry := logger.WithFields(log.Fields{"host": r.Host, "dir": r.Dir})
	for _, w := range r.Warnings {
		entry.WithError(w).Warn("certsd: problem in a host directory")
	}
	if r.Err != nil {
		reloads.WithValues(hostLabels.of(r.Host), "failed").Inc()
		entry.WithError(r.Err).Warn("certsd: a changed host directory cannot be used, what was read last stays in use")
		return
	}
	expiry.reload(r.Host)
	reloads.WithValues(hostLabels.of(r.Host), "changed").Inc()
	entry.Info("certsd: read a changed host directory")
}

func countLayer(p v1compat.Progress) {
	switch {
	case p.Known:
		v1Layers.WithValues("known").Inc()
	case p.Done:
		v1Layers.WithValues("converted").Inc()
	}
}
