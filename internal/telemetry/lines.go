package telemetry

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/resolver"
)

// lines writes the log. Each line has the fields host and identity, and none contains a
// secret.
type lines struct {
	logger  *log.Entry
	outages changes
	trust   downgrades
}

func (l *lines) of(host, identity string) *log.Entry {
	return l.logger.WithFields(log.Fields{"host": host, "identity": identity})
}

// rotation logs at level debug, for people who follow a single pull: see round.
func (l *lines) rotation(r certsd.Rotation) {
	l.of(r.Host, r.To).WithFields(log.Fields{"from": r.From, "reason": r.Reason}).Debug(msgNext)
}

// round logs each discovery, that another certificate is the right one or that none is,
// and each outage, once as long as the answers are the same and nothing worked in
// between.
func (l *lines) round(ctx context.Context, r certsd.Round) {
	l.trust.round(l.logger.WithContext(ctx), r)
	tried := make([]string, 0, len(r.Attempts))
	for _, a := range r.Attempts {
		if a.Skipped == "" {
			tried = append(tried, a.Identity+": "+answerOf(a))
		}
	}
	if len(tried) == 0 || ctx.Err() != nil {
		return
	}
	last := r.Attempts[len(r.Attempts)-1]
	entry := l.of(r.Host, last.Identity).WithContext(ctx).WithFields(log.Fields{
		"repository": r.Repository, "attempts": len(tried), "answers": strings.Join(tried, ", "),
	})
	key := r.Host + " " + r.Repository
	switch {
	case r.Learnt && len(tried) > 1:
		l.outages.forget(key)
		entry.Info(msgAccepted)
	case works(last):
		l.outages.forget(key)
	case slices.ContainsFunc(r.Attempts, absent):
		if len(tried) > 1 {
			entry.Debug(msgAbsent)
		}
	default:
		if message := outage(r.Attempts); message != "" && l.outages.is(key, message+strings.Join(tried, ",")) {
			if last.Err != nil {
				entry = entry.WithError(last.Err)
			}
			entry.Warn(message)
		}
	}
}

// works reports whether the server works: it does if a 401 asks for credentials.
func works(a certsd.Attempt) bool {
	return a.Err == nil && !a.Refused && (a.Status < 400 || a.Status == http.StatusUnauthorized)
}

// absent reports a 404, which matters only to people who follow a single pull: some
// requests of Registry v1 are for things that need not exist.
func absent(a certsd.Attempt) bool { return a.Status == http.StatusNotFound }

// outage returns the message about a failed request, empty if nothing is out of order:
// other statuses concern what was requested.
func outage(attempts []certsd.Attempt) string {
	last := attempts[len(attempts)-1]
	switch result := resultOf(last); {
	case slices.ContainsFunc(attempts, refusedCertificate):
		return msgRefused
	case result == resultRefused:
		return msgWanted
	case last.Status == http.StatusForbidden:
		return msgDenied
	case result == resultVerify:
		return msgUnverified
	case result == resultDial:
		return msgUnreachable
	case last.Err != nil:
		return msgNoAnswer
	case last.Status >= http.StatusInternalServerError:
		return msgSick
	case presented(attempts) > 1:
		// Other statuses in rotate_on.
		return msgRefused
	}
	return ""
}

func presented(attempts []certsd.Attempt) (n int) {
	for _, a := range attempts {
		if a.Skipped == "" {
			n++
		}
	}
	return n
}

// refusedCertificate reports whether a certificate was presented and refused.
func refusedCertificate(a certsd.Attempt) bool {
	return a.Skipped == "" && a.Identity != "" && (a.Refused || a.Status == http.StatusForbidden)
}

// answerOf describes the answer in a few words, none of them the server's.
func answerOf(a certsd.Attempt) string {
	if a.Reason != "" {
		return a.Reason
	}
	return resultOf(a)
}

func (l *lines) transportWarning(err error) {
	var p *certsd.PassedOverError
	if errors.As(err, &p) {
		l.of(p.Host, p.Identity).WithError(err).Warn(msgPassed)
		return
	}
	l.logger.WithError(err).Warn(msgOdd)
}

func (l *lines) reload(r hostdir.Reload) {
	if r.Changed {
		l.trust.changed(r.Host)
	}
	entry := l.of(r.Host, identitiesOf(r.Config)).WithField("dir", r.Dir)
	for _, w := range r.Warnings {
		// A warning about earlier content that stays in use is also in Err.
		if !errors.Is(r.Err, w) {
			entry.WithError(w).Warn(msgProblem)
		}
	}
	switch {
	case r.Err == nil && !r.Changed:
		// Only the warnings are new.
	case r.Err == nil:
		entry.Info(msgReloaded)
	case r.Config == nil:
		entry.WithError(r.Err).Error(msgLost)
	default:
		entry.WithError(r.Err).Warn(msgKept)
	}
}

func (l *lines) warning(host string, problem error) {
	entry := l.logger.WithField("host", host).WithError(problem)
	if errors.As(problem, new(*certsd.Problem)) {
		entry.Warn(msgProblem)
		return
	}
	entry.Warn(msgOdd)
}

func (l *lines) conversion(ctx context.Context, c resolver.Conversion) {
	if c.Protocol == resolver.ProtocolV1 {
		l.trust.v1(l.logger.WithContext(ctx), c)
	}
	entry := l.of(c.Registry, c.Identity).WithContext(ctx).WithFields(log.Fields{
		"ref": c.Ref, "protocol": c.Protocol, "took": c.Took.Round(time.Millisecond).String(),
	})
	switch {
	case c.Err == nil:
		entry.WithField("digest", c.Descriptor.Digest.String()).Info(msgConverted)
	case ctx.Err() == nil:
		entry.WithError(c.Err).Warn(msgNotConverted)
	}
}
