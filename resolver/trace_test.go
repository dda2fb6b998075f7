package resolver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/certsd/containerd-certsd/resolver"
)

// recording are the spans made under a parent.
type recording struct {
	exporter *tracetest.InMemoryExporter
	tracer   trace.Tracer
}

func newRecording() *recording {
	exporter := tracetest.NewInMemoryExporter()
	return &recording{exporter, sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter)).Tracer("")}
}

// resolve resolves under a span of its own.
func (rec *recording) resolve(t *testing.T, r *resolver.Resolver, ref string) error {
	t.Helper()
	ctx, parent := rec.tracer.Start(t.Context(), "pull")
	defer parent.End()
	_, _, err := r.Resolve(ctx, ref)
	return err
}

// ours are the spans of this package since the last call, sorted: PARENT > NAME
// KEY=VALUE..., with the keys that are named.
func (rec *recording) ours(keys ...string) []string {
	names := map[trace.SpanID]string{}
	all := rec.exporter.GetSpans()
	rec.exporter.Reset()
	for _, s := range all {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var lines []string
	for _, s := range all {
		if !strings.HasPrefix(s.Name, "certsd.") {
			continue
		}
		line := []string{names[s.Parent.SpanID()], ">", s.Name}
		for _, a := range s.Attributes {
			if slices.Contains(keys, string(a.Key)) {
				line = append(line, fmt.Sprintf("%s=%s", a.Key, a.Value.Emit()))
			}
		}
		if s.Status.Description != "" {
			line = append(line, "error")
		}
		if s.EndTime.Before(s.StartTime) || s.StartTime.IsZero() {
			line = append(line, "ends before it starts")
		}
		lines = append(lines, strings.Join(line, " "))
	}
	slices.Sort(lines)
	return lines
}

const httpSpan = "remotes.docker.resolver.HTTPRequest"

func TestRoundsAndLookupsAreSpans(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Push(t, "app:1", 1)
	r.Only("bravo", http.StatusForbidden)
	root := t.TempDir()
	r.Dir(t, root, "alpha", "bravo")
	hosts, rec := newHosts(t, root), newRecording()
	keys := []string{"host", "identity", "attempts", "result", "repository", "files"}
	resolve := func() error {
		return rec.resolve(t, resolver.New(resolver.Options{Hosts: hosts}), r.Host+"/app:1")
	}

	if err := resolve(); err != nil {
		t.Fatal(err)
	}
	round := func(identity string, attempts int, result string) string {
		return fmt.Sprintf("%s > certsd.Round host=%s identity=%s attempts=%d result=%s repository=app", httpSpan, r.Host, identity, attempts, result)
	}
	// The list of the directory, its CA and two pairs.
	lookup := "pull > certsd.Lookup host=" + r.Host + " files=6"
	if diff := cmp.Diff([]string{lookup, round("bravo.cert", 2, "200")}, rec.ours(keys...)); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if err := resolve(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{round("bravo.cert", 1, "200")}, rec.ours(keys...)); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
	r.Only("nobody", http.StatusForbidden)
	if err := resolve(); err == nil {
		t.Fatal("nobody is let in, and it resolves")
	}
	// containerd asks again with GET since 2.3.
	if diff := cmp.Diff([]string{round("alpha.cert", 2, "403")}, slices.Compact(rec.ours(keys...))); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
}

func TestConversionsAndLayersAreSpans(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil, "bravo")
	root := t.TempDir()
	a.dir(t, root, "alpha", "bravo")
	hosts, store, rec := newHosts(t, root), newStore(t), newRecording()
	ref := a.Host + "/app:1"
	for _, known := range []string{"false", "true"} {
		if err := rec.resolve(t, resolver.New(resolver.Options{Hosts: hosts, Store: store}), ref); err != nil {
			t.Fatal(err)
		}
		spans := slices.DeleteFunc(rec.ours("host", "ref", "protocol", "known"), func(s string) bool {
			return strings.Contains(s, "certsd.Round") || strings.Contains(s, "certsd.Lookup")
		})
		layer := "certsd.Conversion > certsd.V1Layer host=" + a.Host + " known=" + known
		want := []string{layer, layer, "pull > certsd.Conversion host=" + a.Host + " ref=" + ref + " protocol=Registry v1"}
		if diff := cmp.Diff(want, spans); diff != "" {
			t.Errorf("known %s (-want +got):\n%s", known, diff)
		}
	}
	if err := rec.resolve(t, resolver.New(resolver.Options{Hosts: hosts, Store: store}), a.Host+"/app:2"); err == nil {
		t.Fatal("there is no such tag")
	}
	if spans := rec.ours(); !slices.Contains(spans, "pull > certsd.Conversion error") {
		t.Errorf("no span of the conversion that failed: %q", spans)
	}
}

// TestSpansOfRedirectsLeaveOutSignatures: containerd's resolver makes them of
// each request, with its URL.
func TestSpansOfRedirectsLeaveOutSignatures(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	blobs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Get("signature") != "sesame" {
			t.Errorf("asked for %s", req.URL)
		}
		r.Images.ServeHTTP(w, req)
	}))
	blobs.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{r.Servers.Server("127.0.0.1").TLS}}
	blobs.StartTLS()
	defer blobs.Close()
	r.Push(t, "app:1", 1)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		http.Redirect(w, req, blobs.URL+req.URL.Path+"?signature=sesame", http.StatusTemporaryRedirect)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	rec := newRecording()
	if err := rec.resolve(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), r.Host+"/app:1"); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, s := range rec.exporter.GetSpans() {
		for _, a := range s.Attributes {
			if a.Key == attribute.Key("url.full") {
				urls = append(urls, a.Value.AsString())
			}
			if strings.Contains(a.Value.Emit(), "sesame") {
				t.Errorf("%s: %s is %s", s.Name, a.Key, a.Value.Emit())
			}
		}
	}
	path := "/v2/app/manifests/1"
	if diff := cmp.Diff([]string{"https://" + r.Host + path, blobs.URL + path + "?…"}, urls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConversionsAreReported(t *testing.T) {
	t.Parallel()
	a := newArchive(t, nil, "bravo")
	root := t.TempDir()
	a.dir(t, root, "alpha", "bravo")
	var reports []string
	hosts := newHosts(t, root)
	hosts.Hooks.OnConvert = func(_ context.Context, c resolver.Conversion) {
		reports = append(reports, fmt.Sprintf("%s %s %s %s failed %v converted %v", c.Registry, c.Ref, c.Protocol, c.Identity, c.Err != nil, c.Descriptor.Digest != ""))
	}
	o := resolver.Options{Hosts: hosts, Store: newStore(t)}
	if _, _, err := resolver.New(o).Resolve(t.Context(), a.Host+"/app:1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := resolver.New(o).Resolve(t.Context(), a.Host+"/app:2"); err == nil {
		t.Fatal("there is no such tag")
	}
	want := []string{
		a.Host + " " + a.Host + "/app:1 Registry v1 bravo.cert failed false converted true",
		a.Host + " " + a.Host + "/app:2 Registry v1 bravo.cert failed true converted false",
	}
	if diff := cmp.Diff(want, reports); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
