package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/log"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// askAgain is the Retry-After for content that is not ready.
	askAgain = 5 * time.Second
	// progressEvery is the interval of log lines about a conversion.
	progressEvery = 30 * time.Second
)

// flight resolves one reference for all requests that ask for it in the meantime. It
// does not end with the request that started it: a conversion may outlast any client.
type flight struct {
	name    string
	started time.Time
	// done is closed when desc and err are set.
	done chan struct{}
	desc ocispec.Descriptor
	err  error

	// begun reports whether it is a conversion; bytes and blobs count what the
	// conversion has stored.
	begun atomic.Bool
	bytes atomic.Int64
	blobs atomic.Int64
}

// flights holds the flights in progress, by reference.
type flights struct {
	// ctx is the context of all flights and ends with the gateway.
	//nolint:containedctx // no request may end what others wait for
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup

	// mu guards byKey.
	mu    sync.Mutex
	byKey map[string]*flight
}

func newFlights(ctx context.Context) *flights {
	ctx, cancel := context.WithCancel(ctx)
	return &flights{ctx: ctx, cancel: cancel, byKey: map[string]*flight{}}
}

// join returns the flight for a key, and starts it with resolve if there is none.
// name is the reference.
func (f *flights) join(key, name string, resolve func(context.Context) (ocispec.Descriptor, error)) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.byKey[key]; ok {
		return fl
	}
	fl := &flight{name: name, started: time.Now(), done: make(chan struct{})}
	if f.ctx.Err() != nil {
		fl.err = errStopping
		close(fl.done)
		return fl
	}
	f.byKey[key] = fl
	f.wait.Go(func() {
		stop := fl.report(f.ctx)
		fl.desc, fl.err = resolve(context.WithValue(f.ctx, flightKey{}, fl))
		f.mu.Lock()
		delete(f.byKey, key)
		f.mu.Unlock()
		close(fl.done)
		stop()
	})
	return fl
}

var errStopping = &fault{status: http.StatusServiceUnavailable, code: codeUnavailable, message: "the gateway is being stopped", retryAfter: askAgain}

type flightKey struct{}

// flightIn returns the flight that a context belongs to, or nil.
func flightIn(ctx context.Context) *flight {
	fl, _ := ctx.Value(flightKey{}).(*flight)
	return fl
}

// begin records that a conversion is about to store something.
func (fl *flight) begin() {
	if fl != nil {
		fl.begun.Store(true)
	}
}

// received and stored count the bytes and blobs of a conversion.
func (fl *flight) received(n int) {
	if fl != nil {
		fl.bytes.Add(int64(n))
	}
}

func (fl *flight) stored() {
	if fl != nil {
		fl.blobs.Add(1)
	}
}

// converting reports whether a conversion has begun.
func (fl *flight) converting() bool { return fl != nil && fl.begun.Load() }

// result waits for the result, but no longer than ctx.
func (fl *flight) result(ctx context.Context) (ocispec.Descriptor, error) {
	select {
	case <-fl.done:
		return fl.desc, fl.err
	case <-ctx.Done():
	}
	if _, late := isLate(ctx); late && fl.converting() {
		return ocispec.Descriptor{}, fl.notYet()
	}
	return ocispec.Descriptor{}, context.Cause(ctx)
}

// notYet returns the answer that makes clients ask again. containerd repeats a request
// answered with 429 immediately, up to five times in all, and waits here each time.
// Other clients honor Retry-After.
func (fl *flight) notYet() *fault {
	return &fault{
		status: http.StatusTooManyRequests, code: codeTooMany, retryAfter: askAgain,
		message: fmt.Sprintf("%s is not ready yet: %s; the work continues in the background, ask again", fl.name, fl.progress()),
	}
}

// progress describes the state of the flight.
func (fl *flight) progress() string {
	elapsed := time.Since(fl.started).Round(time.Second)
	if fl.converting() {
		return fmt.Sprintf("converting for %s, %d blobs and %.1f MiB so far", elapsed, fl.blobs.Load(), float64(fl.bytes.Load())/(1<<20))
	}
	return fmt.Sprintf("asking the registry for %s", elapsed)
}

// report logs the progress of a conversion until stop is called, and then its result.
func (fl *flight) report(ctx context.Context) (stop func()) {
	logger := log.G(ctx).WithField("image", fl.name)
	stopped := every(progressEvery, func() { logger.Info("certsd gateway: " + fl.progress()) })
	return func() {
		stopped()
		switch {
		case !fl.converting():
			// The access log covers what is not a conversion.
		case fl.err == nil:
			logger.WithField("digest", fl.desc.Digest).Info("certsd gateway: converted after " + fl.progress())
		case !errors.Is(fl.err, context.Canceled):
			logger.WithError(fl.err).Warn("certsd gateway: conversion failed after " + fl.progress())
		}
	}
}
