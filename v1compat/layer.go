package v1compat

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// layer requests one entry's layer, as often as its reader opens it.
type layer struct {
	s  *session
	id string
	// size is the value of X-Docker-Size, or -1. It is a hint: the Apache example
	// sends 0 with everything.
	size int64

	mu sync.Mutex // guards the rest
	// seen is what the last answer said about the layer.
	seen *seen
	// waited is the time spent between attempts, by all calls together.
	waited time.Duration
}

// seen is what an answer said about a layer.
type seen struct {
	base      string // the endpoint's base URL
	total     int64  // the layer's size, or -1
	validator string
}

// maxWait bounds the time one layer spends between its own attempts; a reader that
// opens it again waits in addition.
const maxWait = 8 * time.Second

// open implements Entry.Open: it requests the layer from offset on. It retries, tries
// other endpoints, and starts over where the server cannot continue.
func (l *layer) open(ctx context.Context, offset int64) (*LayerStream, error) {
	if offset < 0 {
		return nil, fmt.Errorf("layer %s: offset %d", l.id, offset)
	}
	ctx = l.s.context(ctx)
	for n := 0; ; n++ {
		stream, err := l.round(ctx, offset, n+1 < attempts)
		if err == nil || !retriable(err) || n+1 == attempts || !l.mayWait(pause(n)) {
			return stream, err
		}
		if err := l.s.c.wait(ctx, pause(n)); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.id, err)
		}
	}
}

// round asks the endpoints in turn, beginning with the one that has answered for this
// layer. If again is set, that one gets another try at continuing: the next endpoint
// would start over.
func (l *layer) round(ctx context.Context, offset int64, again bool) (stream *LayerStream, err error) {
	known := l.known()
	if ep, ok := l.s.endpoint(known.base); ok && offset > 0 && again {
		stream, err = l.from(ctx, ep, offset, known)
		if err == nil || retriable(err) || ctx.Err() != nil {
			return stream, err
		}
	}
	err = l.s.failover(ctx, func(ep endpoint) (err error) {
		stream, err = l.from(ctx, ep, offset, known)
		return err
	})
	return stream, err
}

// mayWait takes d from the time the layer may wait, and reports whether that much was
// left.
func (l *layer) mayWait(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waited+d > maxWait {
		return false
	}
	l.waited += d
	return true
}

// from requests the layer from one endpoint. An endpoint other than the one that
// began may store it in another compression, so there it starts over.
func (l *layer) from(ctx context.Context, ep endpoint, offset int64, known seen) (*LayerStream, error) {
	if known.base != "" && known.base != ep.base {
		known, offset = seen{total: -1}, 0
	}
	if offset > 0 {
		stream, err := l.request(ctx, ep, offset, known)
		if stream != nil || err != nil {
			return stream, err
		}
	}
	return l.request(ctx, ep, 0, known)
}

// request makes one request. For an offset it returns neither stream nor error if the
// layer must be started over.
func (l *layer) request(ctx context.Context, ep endpoint, offset int64, known seen) (*LayerStream, error) {
	segments := []string{"images", l.id, "layer"}
	header := http.Header{}
	if offset > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	body := newPatient(ctx, l.s.c.timeout())
	resp, err := l.s.send(body.ctx, ep, segments, header, false)
	if err != nil {
		body.stop()
		return nil, err
	}
	body.begin(resp.Body)
	resp.Body = body
	return l.accept(ep, segments, resp, offset, known)
}

func (l *layer) known() seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		return seen{total: -1}
	}
	return *l.seen
}

func (l *layer) note(s seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = &s
}
