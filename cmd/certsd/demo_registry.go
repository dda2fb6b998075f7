package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// demo is a registry that accepts one of several client certificates.
type demo struct {
	// host is the registry's host:port, ref the image in it, root the certs.d
	// directory.
	host, ref, root string
	// accepted is the certificate file the registry accepts.
	accepted string
	// images is the registry itself, without the guard in front of it.
	images http.Handler

	server *http.Server
	pairs  []demoPair
}

type demoPair struct {
	file string
	pair *certtest.Pair
}

// startDemo starts the registry and writes its directory below root.
func startDemo(root string) (*demo, error) {
	servers, clients := certtest.NewCA("demo servers"), certtest.NewCA("demo clients")
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &demo{
		host:     listener.Addr().String(),
		root:     root,
		accepted: "bravo.cert",
		images:   registry.New(registry.Logger(log.New(io.Discard, "", 0))),
	}
	d.ref = d.host + "/demo/hello:1"
	for _, name := range []string{"alpha", "bravo", "charlie"} {
		d.pairs = append(d.pairs, demoPair{name + ".cert", clients.Client(name)})
	}
	if err := d.writeDirectory(servers); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	d.server = &http.Server{
		Handler:           d.guard("bravo"),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clients.Pool(),
	}
	go func() { _ = d.server.Serve(tls.NewListener(listener, config)) }()
	return d, nil
}

// Close stops the registry.
func (d *demo) Close() error { return d.server.Close() }

func (d *demo) writeDirectory(servers *certtest.CA) error {
	dir := filepath.Join(d.root, d.host)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := servers.Write(dir, "ca"); err != nil {
		return err
	}
	for _, p := range d.pairs {
		if err := p.pair.Write(dir, p.pair.Cert.Subject.CommonName); err != nil {
			return err
		}
	}
	return nil
}

// guard returns a handler that lets only one certificate reach the registry.
func (d *demo) guard(commonName string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subject := r.TLS.PeerCertificates[0].Subject; subject.CommonName != commonName {
			http.Error(w, subject.String()+" may not see this", http.StatusForbidden)
			return
		}
		d.images.ServeHTTP(w, r)
	})
}

func (d *demo) describe(out io.Writer) error {
	fmt.Fprintf(out, "%s/\n", filepath.Join(d.root, d.host))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "  ca.crt\tCA root for the registry\n")
	for _, p := range d.pairs {
		fmt.Fprintf(w, "  %s\t%s, expires %s\n", p.file, p.pair.Cert.Subject, p.pair.Cert.NotAfter.Format(time.RFC3339))
	}
	return w.Flush()
}

// pushSmallImage pushes an image of three small layers.
func (d *demo) pushSmallImage() error {
	img := empty.Image
	for _, name := range []string{"one", "two", "three"} {
		var err error
		if img, err = withFile(img, name, []byte("layer "+name+"\n"), 0o644); err != nil {
			return err
		}
	}
	return d.push(img)
}

// pushGreeter pushes an image that can be run: its only file is this program.
func (d *demo) pushGreeter() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(self) //nolint:gosec // the program itself
	if err != nil {
		return err
	}
	img, err := withFile(empty.Image, "certsd", program, 0o755)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Cmd = []string{"/certsd", "demo", "--greet"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return err
	}
	return d.push(img)
}

func withFile(img v1.Image, name string, data []byte, mode int64) (v1.Image, error) {
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
		return io.NopCloser(&buf), w.Close()
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(img, layer)
}

// push pushes straight to the registry's handler, past the guard.
func (d *demo) push(img v1.Image) error {
	tag, err := name.NewTag(d.ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, img, remote.WithTransport(handlerTransport{d.images}))
}

// handlerTransport answers requests with a handler, without a network.
type handlerTransport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	if req.Body == nil {
		req = req.Clone(req.Context())
		req.Body = http.NoBody
	}
	t.handler.ServeHTTP(rec, req)
	return &http.Response{
		StatusCode: rec.status, Status: http.StatusText(rec.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()), Request: req,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// attemptLog collects what the transport reports.
type attemptLog struct {
	mu       sync.Mutex
	attempts []certsd.Attempt
}

func (l *attemptLog) add(a certsd.Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts = append(l.attempts, a)
}

func (l *attemptLog) all() []certsd.Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.attempts
}

func answerOf(a certsd.Attempt) string {
	if a.Err != nil {
		return a.Err.Error()
	}
	return fmt.Sprintf("%d %s", a.Status, http.StatusText(a.Status))
}

// shortPath shortens a URL to what tells requests apart on a narrow terminal.
func shortPath(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	dir, base := path.Split(u.Path)
	if len(base) > 20 {
		base = base[:20] + "…"
	}
	return dir + base
}
