package v1compat

import (
	"context"
	"net/http"
)

type methodKey struct{}

// methodOf returns the method for requests with this context.
func methodOf(ctx context.Context) string {
	if method, ok := ctx.Value(methodKey{}).(string); ok {
		return method
	}
	return http.MethodGet
}

// measure implements Entry.Measure: it sends HEAD for the layer, unless its size came
// with the JSON. Only 200 with a length counts; even 404 proves nothing, as clients
// of Registry v1 never send HEAD.
func (l *layer) measure(ctx context.Context) int64 {
	if l.size > 0 {
		return l.size
	}
	ctx, cancel := l.s.c.attempt(l.s.context(context.WithValue(ctx, methodKey{}, http.MethodHead)))
	defer cancel()
	size := int64(-1)
	_ = l.s.failover(ctx, func(ep endpoint) error {
		resp, err := l.s.send(ctx, ep, []string{"images", l.id, "layer"}, http.Header{}, false)
		if err != nil {
			return err
		}
		defer discard(resp.Response)
		if resp.StatusCode == http.StatusOK && resp.ContentLength > 0 {
			size = resp.ContentLength
		}
		return nil
	})
	return size
}
