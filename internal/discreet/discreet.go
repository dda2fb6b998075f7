// Package discreet keeps secrets out of the log lines of containerd's registry client:
// the headers of requests and answers at level debug and, at level info, the URLs of
// failed requests, with the signature of a signed one.
package discreet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus" //nolint:depguard // containerd's package has no way to see a line before it is written

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// left replaces what is left out.
const left = "…"

// Context returns a context whose logger writes the same lines to the same log,
// with the same level, formatter and hooks, but without secrets.
func Context(ctx context.Context) context.Context {
	entry := log.G(ctx)
	if _, ok := entry.Logger.Formatter.(nothing); ok {
		return ctx
	}
	// Sharing the fields is safe: an entry copies them before it adds any.
	return log.WithLogger(ctx, &logrus.Entry{Logger: discreet(entry.Logger), Data: entry.Data, Time: entry.Time, Context: ctx})
}

// last caches the last pair of loggers: a process usually has one log.
var last atomic.Pointer[pair]

type pair struct{ plain, discreet *logrus.Logger }

// discreet returns the logger to use instead of another.
func discreet(plain *logrus.Logger) *logrus.Logger {
	p := last.Load()
	if p == nil || p.plain != plain {
		hooks := logrus.LevelHooks{}
		hooks.Add(censor{plain})
		p = &pair{plain, &logrus.Logger{Out: io.Discard, Formatter: nothing{}, Hooks: hooks}}
		last.Store(p)
	}
	if level := plain.GetLevel(); p.discreet.GetLevel() != level {
		p.discreet.SetLevel(level)
	}
	return p.discreet
}

// nothing is a formatter for a logger that discards its output.
type nothing struct{}

// Format implements logrus.Formatter.
func (nothing) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

// censor forwards lines, without secrets, to another logger.
type censor struct{ to *logrus.Logger }

// Levels implements logrus.Hook.
func (censor) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (c censor) Fire(e *logrus.Entry) error {
	data := make(logrus.Fields, len(e.Data))
	for k, v := range e.Data {
		data[k] = value(k, v)
	}
	c.to.WithContext(e.Context).WithTime(e.Time).WithFields(data).Log(e.Level, Text(e.Message))
	return nil
}

// value returns a field as it may be logged.
func value(key string, v any) any {
	if header, ok := strings.CutPrefix(key, "request.header."); ok && !known(header) {
		return left
	}
	if header, ok := strings.CutPrefix(key, "response.header."); ok && !known(header) {
		return left
	}
	switch v := v.(type) {
	case string:
		return Text(v)
	case error:
		if text := v.Error(); Text(text) != text {
			return errors.New(Text(text))
		}
		return v
	case fmt.Stringer:
		return Text(v.String())
	default:
		return v
	}
}

// plain are the headers whose values may be logged: they describe what was requested or
// found, and not who requested it.
var plain = map[string]bool{
	"accept": true, "accept-encoding": true, "accept-ranges": true, "age": true, "cache-control": true, "connection": true,
	"content-encoding": true, "content-length": true, "content-range": true, "content-type": true, "date": true,
	"docker-content-digest": true, "docker-distribution-api-version": true, "docker-upload-uuid": true, "etag": true,
	"host": true, "if-match": true, "if-modified-since": true, "if-none-match": true, "last-modified": true, "link": true,
	"location": true, "oci-subject": true, "oci-filters-applied": true, "range": true, "retry-after": true, "server": true,
	"strict-transport-security": true, "transfer-encoding": true, "user-agent": true, "vary": true, "via": true,
	"warning": true, "www-authenticate": true, "x-content-type-options": true,
}

// known reports whether a header is plain; a number may follow its name.
func known(header string) bool {
	name, _, _ := strings.Cut(header, ".")
	return plain[name]
}

// Text returns a text without the queries and users of the URLs in it.
func Text(s string) string { return safetext.URLs(s, left) }
