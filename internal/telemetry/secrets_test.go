package telemetry

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/log"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/resolver"
)

// secrets is a registry that has all kinds of them.
type secrets struct {
	password, token, header, signature, cookie, state string

	host    string
	storage *httptest.Server
	images  http.Handler
	seen    map[string]bool
}

func (s *secrets) all() map[string]string {
	return map[string]string{
		"password": s.password, "token": s.token, "header": s.header, "signature": s.signature, "cookie": s.cookie, "upload state": s.state,
		"password in Basic": base64.StdEncoding.EncodeToString([]byte("jo:" + s.password)),
	}
}

// ServeHTTP implements http.Handler.
func (s *secrets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", "session="+s.cookie)
	_, password, _ := r.BasicAuth()
	switch {
	case r.TLS.PeerCertificates[0].Subject.CommonName != "bravo":
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/token":
		if password != s.password && r.FormValue("password") != s.password {
			http.Error(w, "wrong password", http.StatusUnauthorized)
			return
		}
		s.seen["password"] = true
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"token":%q,"access_token":%q,"expires_in":300}`, s.token, s.token)
	case r.Header.Get("Authorization") != "Bearer "+s.token:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="reg"`, s.host))
		w.WriteHeader(http.StatusUnauthorized)
	case r.Header.Get("X-Team") != s.header:
		http.Error(w, "no header", http.StatusTeapot)
	case strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet:
		s.seen["token"] = true
		w.Header().Set("Location", s.storage.URL+r.URL.Path+"?X-Signature="+s.signature)
		w.WriteHeader(http.StatusTemporaryRedirect)
	case strings.HasPrefix(r.URL.Path, "/v2/dead/"):
		w.Header().Set("Location", "https://jo:"+s.password+"@127.0.0.1:1/gone?X-Signature="+s.signature)
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		s.images.ServeHTTP(stateful{w, s.state}, r)
	}
}

// stateful adds what distribution puts into the locations of uploads.
type stateful struct {
	http.ResponseWriter
	state string
}

func (w stateful) WriteHeader(status int) {
	if location := w.Header().Get("Location"); location != "" && status == http.StatusAccepted {
		w.Header().Set("Location", location+"?_state="+w.state)
	}
	w.ResponseWriter.WriteHeader(status)
}

// TestSecretsStaySecret pulls, pushes and fails with everything there is to be
// kept secret, and looks for it in every line of the log at the finest level,
// also in those of containerd's own client, in the metrics and in the spans.
func TestSecretsStaySecret(t *testing.T) {
	servers, people := certtest.NewCA("servers"), certtest.NewCA("people")
	s := &secrets{
		password: "pa55w0rd", token: "t0k3n-t0k3n", header: "h34d3r", signature: "s1gn4tur3", cookie: "c00k13", state: "st4t3",
		images: ggcr.New(ggcr.Logger(stdlog.New(io.Discard, "", 0))), seen: map[string]bool{},
	}
	serve := func(h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
			ClientAuth: tls.RequestClientCert,
		}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		return srv
	}
	s.storage = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.seen["signature"] = s.seen["signature"] || r.URL.Query().Get("X-Signature") == s.signature
		s.images.ServeHTTP(w, r)
	}))
	s.host = strings.TrimPrefix(serve(s).URL, "https://")

	root := t.TempDir()
	dir := filepath.Join(root, s.host)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[host.\"https://%s\"]\n  [host.\"https://%s\".header]\n    X-Team = %q\n", s.host, s.host, s.header)
	bravo := people.Client("bravo")
	err := errors.Join(servers.Write(dir, "ca"), people.Client("alpha").Write(dir, "alpha"), bravo.Write(dir, "bravo"),
		os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(config), 0o600))
	if err != nil {
		t.Fatal(err)
	}

	j, logger := newJournal()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	defer otel.SetTracerProvider(before)
	hosts := &resolver.Hosts{Roots: certsd.Roots{root}, Hooks: Hooks(logger)}
	defer hosts.CloseIdleConnections()
	ctx, span := provider.Tracer("").Start(log.WithLogger(t.Context(), logger), "test")

	failures := useAll(ctx, t, s, hosts)
	span.End()
	for _, what := range []string{"password", "token", "signature"} {
		if !s.seen[what] {
			t.Errorf("the registry never saw the %s: the test tests nothing", what)
		}
	}

	written := map[string]string{"the errors": failures, "the log": strings.Join(j.take(), "\n")}
	for _, s := range exporter.GetSpans() {
		written["the spans"] += fmt.Sprintln(s.Name, s.Status, s.Attributes, s.Events)
	}
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	written["the metrics"] = rec.Body.String()
	st := State().Snapshot(status.Daemon{Kind: status.Gateway, Roots: hosts.Roots, Hosts: []*resolver.Hosts{hosts}})
	document, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	written["the status"] = string(document)
	for where, text := range written {
		if !strings.Contains(text, s.host) {
			t.Errorf("%s do not even name the registry: the test tests nothing", where)
		}
		for what, secret := range s.all() {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("the %s is in %s: …%s…", what, where, text[max(0, i-300):min(len(text), i+100)])
			}
		}
		if key := strings.Split(string(bravo.KeyPEM), "\n")[1]; strings.Contains(text, key) || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("a private key is in %s", where)
		}
	}
}

// useAll does everything that has to do with secrets, and returns the errors.
func useAll(ctx context.Context, t *testing.T, s *secrets, hosts *resolver.Hosts) string {
	t.Helper()
	credentials := func(password string) func(string) (string, string, error) {
		return func(string) (string, string, error) { return "jo", password, nil }
	}
	o := resolver.Options{Hosts: hosts, Credentials: credentials(s.password)}
	blob := []byte("layer")
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(blob), Size: int64(len(blob))}
	ref := s.host + "/app:1"

	manifest := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `"}`)
	top := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
	for _, item := range []struct {
		desc ocispec.Descriptor
		data []byte
	}{{desc, blob}, {top, manifest}} {
		pusher, err := resolver.New(o).Pusher(ctx, ref+"@"+top.Digest.String())
		if err != nil {
			t.Fatal(err)
		}
		w, err := pusher.Push(ctx, item.desc)
		if err != nil {
			t.Fatal(err)
		}
		if err := content.Copy(ctx, w, strings.NewReader(string(item.data)), item.desc.Size, item.desc.Digest); err != nil {
			t.Fatal(err)
		}
	}

	r := resolver.New(o)
	if _, _, err := r.Resolve(ctx, ref); err != nil {
		t.Fatal(err)
	}
	fetcher, err := r.Fetcher(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(rc); err != nil || string(data) != string(blob) {
		t.Fatalf("%q %v", data, err)
	}
	if err := rc.Close(); err != nil {
		t.Fatal(err)
	}

	var failures strings.Builder
	for _, tt := range []struct{ ref, password string }{
		{s.host + "/dead:1", s.password},
		{s.host + "/app:none", s.password},
		{ref, s.password + "-and-wrong"},
	} {
		_, _, err := resolver.New(resolver.Options{Hosts: hosts, Credentials: credentials(tt.password)}).Resolve(ctx, tt.ref)
		if err == nil {
			t.Errorf("%s resolves", tt.ref)
			continue
		}
		fmt.Fprintln(&failures, err)
	}
	return failures.String()
}
