package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/status"
)

const (
	// lookEvery is the time between two checks for certificates that expire, sayEvery
	// the time between two lines about the same one.
	lookEvery = time.Hour
	sayEvery  = 24 * time.Hour
)

// WatchEnds logs each certificate that expires soon once a day, until ctx ends: those
// of clients, servers and CAs.
func WatchEnds(ctx context.Context) {
	w := &endsWatch{logger: log.G(ctx), state: state}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(time.Now())
		}
	}
}

// StartWatchEnds runs [WatchEnds] until ctx ends or stop is called, which waits for it.
func StartWatchEnds(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { WatchEnds(ctx) })
	return func() {
		cancel()
		watch.Wait()
	}
}

// endsWatch remembers what was logged.
type endsWatch struct {
	logger *log.Entry
	state  *status.State
	// said is when each certificate was logged last, by [status.End.Key].
	said map[string]time.Time
}

// look logs the certificates that are due.
func (w *endsWatch) look(now time.Time) {
	before := w.said
	w.said = map[string]time.Time{}
	for _, e := range w.state.Ends() {
		if !status.EndsSoon(e.Certificate.NotBefore, e.Certificate.NotAfter, now) {
			continue
		}
		key := e.Key()
		last, ok := before[key]
		if w.said[key] = last; ok && now.Sub(last) < sayEvery {
			continue
		}
		w.said[key] = now
		entry := w.logger.WithFields(log.Fields{
			"host": e.Host, "identity": e.Identity, "of": e.Who, "expires": e.Certificate.NotAfter.UTC().Format(time.RFC3339),
		})
		switch e.Kind {
		case status.EndOfClient:
			entry.Warn(msgClientEnds)
		case status.EndOfServer:
			entry.Warn(msgServerEnds)
		default:
			entry.Warn(msgCAEnds)
		}
	}
}
