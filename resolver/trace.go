package resolver

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/pkg/tracing"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Names of spans. Like containerd's, they go to the provider of the current span, or
// else to the global one.
const (
	spanRound      = "certsd.Round"
	spanLookup     = "certsd.Lookup"
	spanConversion = "certsd.Conversion"
	spanV1Layer    = "certsd.V1Layer"
)

// traceRound records a span for a request and the identities presented for it, inside
// containerd's span for the request.
func traceRound(ctx context.Context, r certsd.Round) {
	if unrecorded(ctx) {
		return
	}
	span := begun(ctx, spanRound, r.Start)
	if !span.IsRecording() {
		return
	}
	last := r.Attempts[len(r.Attempts)-1]
	span.SetAttributes(
		attribute.String("host", r.Host),
		attribute.String("identity", last.Identity),
		attribute.Int("attempts", len(r.Attempts)),
		attribute.String("result", resultOf(last)),
		attribute.String("repository", r.Repository),
		attribute.String("dir", last.Dir),
	)
	end(span, last.Err)
}

func resultOf(a certsd.Attempt) string {
	if a.Err != nil {
		return "error"
	}
	return strconv.Itoa(a.Status)
}

// traceLookup records a span for a lookup that read files.
func traceLookup(ctx context.Context, l hostdir.Loaded) {
	if l.Files == 0 {
		return
	}
	span := begun(ctx, spanLookup, l.Start)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(
		attribute.String("host", l.Host),
		attribute.String("dir", l.Dir),
		attribute.Int("files", l.Files),
	)
	end(span, l.Err)
}

// unrecorded reports whether the enclosing span came from the global provider and is
// not recorded, as when tracing is not set up. It saves work, as each request has a
// round.
func unrecorded(ctx context.Context) bool {
	around := trace.SpanFromContext(ctx)
	if around.IsRecording() || around.SpanContext().IsValid() {
		return false
	}
	asked, now := around.TracerProvider(), otel.GetTracerProvider()
	kind := reflect.TypeOf(now)
	return reflect.TypeOf(asked) == kind && kind.Comparable() && asked == now
}

// begun starts a span with an earlier start time, which containerd's package cannot
// do.
func begun(ctx context.Context, name string, start time.Time) trace.Span {
	tracer := otel.Tracer("")
	if parent := trace.SpanFromContext(ctx); parent.SpanContext().IsValid() {
		tracer = parent.TracerProvider().Tracer("")
	}
	_, span := tracer.Start(ctx, name, trace.WithTimestamp(start))
	return span
}

func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, presentable(err))
	}
	span.End()
}

// traceConversion begins the span of a conversion; the returned function ends it.
func traceConversion(ctx context.Context, c Conversion) (context.Context, func(ocispec.Descriptor, error)) {
	ctx, span := tracing.StartSpan(ctx, spanConversion,
		tracing.WithAttribute("host", c.Registry),
		tracing.WithAttribute("ref", c.Ref),
		tracing.WithAttribute("protocol", c.Protocol))
	return ctx, func(desc ocispec.Descriptor, err error) {
		if err != nil {
			span.SetStatus(errors.New(presentable(err)))
		} else {
			span.SetAttributes(attribute.String("digest", desc.Digest.String()))
		}
		span.End()
	}
}

// traceLayer returns a v1compat.Hooks.OnLayer.
func traceLayer(registry string) func(context.Context, string) (context.Context, func(v1compat.LayerEnd)) {
	return func(ctx context.Context, layer string) (context.Context, func(v1compat.LayerEnd)) {
		ctx, span := tracing.StartSpan(ctx, spanV1Layer,
			tracing.WithAttribute("host", registry),
			tracing.WithAttribute("layer", layer))
		return ctx, func(e v1compat.LayerEnd) {
			span.SetAttributes(attribute.Bool("known", e.Known), attribute.Int64("size", e.Descriptor.Size),
				attribute.String("digest", e.Descriptor.Digest.String()))
			if e.Err != nil {
				span.SetStatus(errors.New(presentable(e.Err)))
			}
			span.End()
		}
	}
}

// unsigned keeps the queries of signed URLs out of containerd's spans for requests:
// see tracing.UpdateHTTPClient.
type unsigned struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d *unsigned) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL != nil && req.URL.RawQuery != "" {
		if _, traced := otelhttp.LabelerFromContext(req.Context()); traced {
			trace.SpanFromContext(req.Context()).SetAttributes(attribute.String("url.full", withoutSecrets(req.URL.String())))
		}
	}
	return d.next.RoundTrip(req)
}
