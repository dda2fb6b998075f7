package certsd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	oras "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// startRegistry starts a registry that answers 403 unless the client certificate
// of beta is presented, and makes a root of host directories with a directory
// for it that holds those of alpha and beta. It returns the registry's host:port
// and the root.
func startRegistry() (host, root string, stop func()) {
	clients, servers := certtest.NewCA("clients"), certtest.NewCA("servers")
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != "beta" {
			http.Error(w, "not for you", http.StatusForbidden)
			return
		}
		content.ServeHTTP(w, r)
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool(),
	}
	server.StartTLS()
	host = server.Listener.Addr().String()
	root, err := os.MkdirTemp("", "certs.d")
	check(err)
	dir := filepath.Join(root, host)
	check(os.Mkdir(dir, 0o755))
	check(servers.Write(dir, "ca"))
	check(clients.Client("alpha").Write(dir, "alpha"))
	check(clients.Client("beta").Write(dir, "beta"))
	return host, root, func() {
		server.Close()
		check(os.RemoveAll(root))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// With any http.Client: which certificates were tried is seen in the trail.
func ExampleTransport() {
	host, root, stop := startRegistry()
	defer stop()
	transport := &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{root}}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	ctx, trail := certsd.WithTrail(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v2/", nil)
	check(err)
	resp, err := client.Do(req)
	check(err)
	check(resp.Body.Close())
	fmt.Println(resp.Status)
	for _, a := range trail.Attempts() {
		fmt.Println(a.Identity, a.Subject, a.Status, a.Answer)
	}
	// Output:
	// 200 OK
	// alpha.cert CN=alpha 403 not for you
	// beta.cert CN=beta 200
}

// With github.com/google/go-containerregistry.
func ExampleTransport_goContainerRegistry() {
	host, root, stop := startRegistry()
	defer stop()
	transport := &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{root}}}
	defer transport.CloseIdleConnections()

	image, err := random.Image(1024, 2)
	check(err)
	ref, err := name.ParseReference(host + "/team/app:latest")
	check(err)
	check(remote.Write(ref, image, remote.WithTransport(transport)))
	pulled, err := remote.Image(ref, remote.WithTransport(transport))
	check(err)
	layers, err := pulled.Layers()
	check(err)
	fmt.Println(len(layers), "layers")
	// Output: 2 layers
}

// With oras.land/oras-go.
func ExampleTransport_oras() {
	host, root, stop := startRegistry()
	defer stop()
	transport := &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{root}}}
	defer transport.CloseIdleConnections()

	reg, err := oras.NewRegistry(host)
	check(err)
	reg.Client = &auth.Client{Client: &http.Client{Transport: transport}}
	check(reg.Ping(context.Background()))
	fmt.Println("the registry answers")
	// Output: the registry answers
}

// What happens can be observed, for a log or for metrics.
func ExampleHooks() {
	host, root, stop := startRegistry()
	defer stop()
	transport := &certsd.Transport{
		Hosts: &certsd.Hosts{Roots: certsd.Roots{root}},
		Hooks: certsd.Hooks{OnRotate: func(r certsd.Rotation) {
			fmt.Printf("%s to %s: %s\n", r.From, r.To, r.Reason)
		}},
	}
	defer transport.CloseIdleConnections()

	resp, err := (&http.Client{Transport: transport}).Get("https://" + host + "/v2/") //nolint:noctx // an example
	check(err)
	check(resp.Body.Close())
	fmt.Println(resp.Status)
	// Output:
	// alpha.cert to beta.cert: 403
	// 200 OK
}

func ExampleParseRotateOn() {
	_, err := certsd.ParseRotateOn([]string{"403", "5x"})
	fmt.Println(err)
	some, err := certsd.ParseRotateOn([]string{"403", "404"})
	check(err)
	fmt.Println(some, some.Has(http.StatusNotFound), certsd.RotateOn{})
	// Output:
	// rotate_on: "5x": is neither a status from 400 to 599 nor "4xx" or "5xx"
	// 403,404 true 403,5xx
}
