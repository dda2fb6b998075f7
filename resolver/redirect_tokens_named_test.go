package resolver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// notForRegistries listens where registries must not lead, and counts who
// connects.
func notForRegistries(t *testing.T) (host string, connections *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String(), connections
}

var errStranger = errors.New("not a place for registries to lead to")

// TestNobodyLeadsToStrangers: whatever a server names a host in, it is not
// connected to where that is refused, and another way is taken if there is one.
func TestNobodyLeadsToStrangers(t *testing.T) {
	t.Parallel()
	data, desc := layer(1 << 10)
	for name, row := range map[string]struct {
		// lead makes a registry name the host, and pulls from it or pushes to it.
		lead func(t *testing.T, hosts *resolver.Hosts, root, host string) error
		// works reports whether there is another way.
		works bool
	}{
		"a redirect": {lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				http.Redirect(w, req, "https://"+host+req.URL.Path, http.StatusTemporaryRedirect)
			}))
			r.Dir(t, root)
			_, err := readAll(t, newFetcher(t, resolver.Options{Hosts: hosts}, r.Host+"/app:1"), desc)
			return err
		}},
		"a token server": {lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+host+`/token",service="s"`)
				w.WriteHeader(http.StatusUnauthorized)
			}))
			r.Dir(t, root)
			_, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(t.Context(), r.Host+"/app:1")
			return err
		}},
		"the URL of a layer": {works: true, lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			r := newRegistry(t, blobs(data))
			r.Dir(t, root)
			desc := desc
			desc.URLs = []string{"https://" + host + "/layer"}
			got, err := readAll(t, newFetcher(t, resolver.Options{Hosts: hosts}, r.Host+"/app:1"), desc)
			if err == nil && !bytes.Equal(got, data) {
				t.Error("other content")
			}
			return err
		}},
		"the location of an upload": {lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			r := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method != http.MethodPost {
					http.NotFound(w, req)
					return
				}
				w.Header().Set("Location", "https://"+host+"/upload?id=1")
				w.WriteHeader(http.StatusAccepted)
			}))
			r.Dir(t, root)
			p, err := resolver.New(resolver.Options{Hosts: hosts}).Pusher(t.Context(), r.Host+"/app:1")
			if err != nil {
				t.Fatal(err)
			}
			desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
			w, err := p.Push(t.Context(), desc)
			if err != nil {
				return err
			}
			return content.Copy(t.Context(), w, bytes.NewReader(data), desc.Size, desc.Digest)
		}},
		"an endpoint of Registry v1": {lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			return pullV1(t, hosts, root, v1test.Quirks{Endpoints: []string{host}, EverywhereEndpoints: true}, nil)
		}},
		"a redirect of Registry v1": {lead: func(t *testing.T, hosts *resolver.Hosts, root, host string) error {
			t.Helper()
			return pullV1(t, hosts, root, v1test.Quirks{}, func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasSuffix(req.URL.Path, "/layer") {
					return false
				}
				http.Redirect(w, req, "https://"+host+req.URL.Path, http.StatusFound)
				return true
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, connections := notForRegistries(t)
			root := t.TempDir()
			hosts := newHosts(t, root)
			var refused atomic.Int64
			hosts.RefuseStranger = func(named string, addr netip.AddrPort) error {
				if addr.String() != host {
					return nil
				}
				if named != host {
					t.Errorf("refused as %s", named)
				}
				refused.Add(1)
				return errStranger
			}
			err := row.lead(t, hosts, root, host)
			if row.works != (err == nil) || err != nil && !strings.Contains(err.Error(), errStranger.Error()) {
				t.Errorf("got %v", err)
			}
			if refused.Load() == 0 || connections.Load() != 0 {
				t.Errorf("refused %d times, connected %d times", refused.Load(), connections.Load())
			}
		})
	}
}

// pullV1 pulls from a registry that knows v1 alone.
func pullV1(t *testing.T, hosts *resolver.Hosts, root string, quirks v1test.Quirks, first func(http.ResponseWriter, *http.Request) bool) error {
	t.Helper()
	servers := certtest.NewCA("servers")
	registry := v1test.New(v1test.Options{
		Quirks: quirks,
		TLS:    &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS}},
		Wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case strings.HasPrefix(req.URL.Path, "/v2/"):
					http.NotFound(w, req)
				case first != nil && first(w, req):
				default:
					next.ServeHTTP(w, req)
				}
			})
		},
	})
	t.Cleanup(registry.Close)
	registry.Add("library/app", "1", v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))})
	(&mtlsRegistry{Host: registry.Host, Servers: servers, Clients: certtest.NewCA("clients")}).Dir(t, root)
	_, _, err := resolver.New(resolver.Options{Hosts: hosts, Store: newStore(t)}).Resolve(context.WithoutCancel(t.Context()), registry.Host+"/app:1")
	return err
}
