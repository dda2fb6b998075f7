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
	"github.com/certsd/containerd-certsd/resolver"
)

// lines writes the log. Each line has the fields host and identity, where there
// is something to put into them, and none has anything secret in it.
type lines struct {
	logger  *log.Entry
	refused changes
	trust   downgrades
}

func (l *lines) of(host, identity string) *log.Entry {
	return l.logger.WithFields(log.Fields{"host": host, "identity": identity})
}

// rotation is for whoever follows a single pull: see round.
func (l *lines) rotation(r certsd.Rotation) {
	l.of(r.Host, r.To).WithFields(log.Fields{"from": r.From, "reason": r.Reason}).Debug(msgNext)
}

// round writes one line for each discovery: that another certificate is the
// right one, or that none is, and that once as long as the answers are the same.
// A 404 is for whoever follows a single pull: some of what is asked for in
// Registry v1 need not be there.
func (l *lines) round(ctx context.Context, r certsd.Round) {
	l.trust.round(l.logger.WithContext(ctx), r)
	presented, tried := 0, make([]string, 0, len(r.Attempts))
	for _, a := range r.Attempts {
		if a.Skipped == "" {
			presented++
			tried = append(tried, a.Identity+": "+answerOf(a))
		}
	}
	if presented < 2 || ctx.Err() != nil {
		return
	}
	last := r.Attempts[len(r.Attempts)-1]
	entry := l.of(r.Host, last.Identity).WithContext(ctx).WithFields(log.Fields{
		"repository": r.Repository, "attempts": presented, "answers": strings.Join(tried, ", "),
	})
	key := r.Host + " " + r.Repository
	switch {
	case r.Learnt:
		l.refused.forget(key)
		entry.Info(msgAccepted)
	case last.Err == nil && (last.Status < 400 || last.Status == http.StatusUnauthorized):
		// Another request was faster to learn that it is the right one.
	case slices.ContainsFunc(r.Attempts, absent):
		entry.Debug(msgAbsent)
	case !l.refused.is(key, strings.Join(tried, ",")):
	case slices.ContainsFunc(r.Attempts, refused):
		entry.Warn(msgRefused)
	default:
		entry.Warn(msgSick)
	}
}

func absent(a certsd.Attempt) bool { return a.Status == http.StatusNotFound }

// refused tells whether what came back may be about the certificate: a 5xx is
// about the server.
func refused(a certsd.Attempt) bool { return a.Skipped == "" && a.Status < 500 }

// answerOf is what came back in a few words, none of them the server's.
func answerOf(a certsd.Attempt) string {
	if a.Reason != "" {
		return a.Reason
	}
	return resultOf(a)
}

func (l *lines) transportWarning(err error) {
	if p, ok := errors.AsType[*certsd.PassedOverError](err); ok {
		l.of(p.Host, p.Identity).WithError(err).Warn(msgPassed)
		return
	}
	l.logger.WithError(err).Warn(msgOdd)
}

func (l *lines) reload(r certsd.Reload) {
	if r.Changed {
		l.trust.changed(r.Host)
	}
	entry := l.of(r.Host, identitiesOf(r.Config)).WithField("dir", r.Dir)
	for _, w := range r.Warnings {
		// One because of which earlier content stays in use is in Err, too.
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
	if _, ok := errors.AsType[*certsd.Problem](problem); ok {
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
