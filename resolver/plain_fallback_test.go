package resolver_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
)

// TestFallbackToHTTPIsForTheRegistryAlone lets a loopback registry that speaks
// plain HTTP lead to a TLS server: that one is still spoken to in TLS.
func TestFallbackToHTTPIsForTheRegistryAlone(t *testing.T) {
	t.Parallel()
	images := newRegistry(t, nil)
	images.Push(t, "app:1", 1)
	other := newRegistry(t, images.Images)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			http.Redirect(w, req, "https://"+other.Host+req.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		images.Images.ServeHTTP(w, req)
	}))
	defer plain.Close()
	root := t.TempDir()
	other.Dir(t, root)
	pull(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), strings.TrimPrefix(plain.URL, "http://")+"/app:1")
	if len(other.Calls()) == 0 {
		t.Error("the other server was not asked")
	}
}

// TestFallbackToHTTPKeepsTheTokenServersScheme wants no credentials in clear
// text because the registry happens to speak none but plain HTTP.
func TestFallbackToHTTPKeepsTheTokenServersScheme(t *testing.T) {
	t.Parallel()
	images := newRegistry(t, nil)
	images.Push(t, "app:1", 1)
	tokens := tokenServer(t)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer token-for-nobody" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, tokens.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		images.Images.ServeHTTP(w, req)
	}))
	defer plain.Close()
	root := t.TempDir()
	tokens.Dir(t, root)
	pull(t, resolver.New(resolver.Options{Hosts: newHosts(t, root)}), strings.TrimPrefix(plain.URL, "http://")+"/app:1")
}

// turncoat is a listener whose server speaks TLS first and plain HTTP later.
type turncoat struct {
	net.Listener
	config *tls.Config
	plain  atomic.Bool
}

func (l *turncoat) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil || l.plain.Load() {
		return c, err
	}
	return tls.Server(c, l.config), nil
}

func TestNoFallbackToHTTPOnceTLSWasSpoken(t *testing.T) {
	t.Parallel()
	var inClear atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.TLS == nil {
			inClear.Add(1)
		}
		http.NotFound(w, req)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	listener := &turncoat{Listener: server.Listener, config: &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{certtest.NewCA("servers").Server("127.0.0.1").TLS},
	}}
	server.Listener = listener
	server.Start()
	defer server.Close()
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:1"
	hosts := newHosts(t, t.TempDir())

	if _, _, err := resolver.New(resolver.Options{Hosts: hosts}).Resolve(t.Context(), ref); !errdefs.IsNotFound(err) {
		t.Fatalf("over TLS, which is not verified on loopback: %v", err)
	}
	listener.plain.Store(true)
	hosts.CloseIdleConnections()
	server.CloseClientConnections()
	for name, wish := range map[string]bool{"by itself": false, "by the client's wish": true} {
		_, _, err := resolver.New(resolver.Options{Hosts: hosts, PlainHTTP: wish}).Resolve(t.Context(), ref)
		if !errors.As(err, new(*certsd.PlainHTTPError)) || inClear.Load() > 0 {
			t.Errorf("%s: %d requests in clear text: %v", name, inClear.Load(), err)
		}
	}
}
