package resolver_test

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

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
)

// A client of containerd's, with the resolver in its own process: the daemon
// may be a stock one. Images of Registry v1 are converted into the daemon's
// content store.
func Example() {
	c, err := client.New("/run/containerd/containerd.sock")
	check(err)
	defer c.Close()

	// One for the whole process: it keeps connections and what was learnt.
	hosts := &resolver.Hosts{Roots: certsd.ParseRoots("/etc/containerd/certs.d:/etc/docker/certs.d")}

	ctx := namespaces.WithNamespace(context.Background(), "default")
	image, err := c.Pull(ctx, "registry.example:5000/team/app:1",
		client.WithPullUnpack,
		client.WithResolver(resolver.New(resolver.Options{Hosts: hosts, Store: c.ContentStore()})),
	)
	check(err)
	fmt.Println(image.Name(), image.Target().Digest)
}

// A program that has docker.NewResolver already keeps it, and gets only its
// hosts from the directories.
func ExampleHosts_RegistryHosts() {
	host, root, stop := startRegistry()
	defer stop()

	hosts := &resolver.Hosts{
		Roots: certsd.Roots{root},
		Hooks: resolver.Hooks{Transport: certsd.Hooks{OnAttempt: func(a certsd.Attempt) {
			fmt.Println(a.Method, a.Identity, a.Status)
		}}},
	}
	defer hosts.CloseIdleConnections()
	r := docker.NewResolver(docker.ResolverOptions{Hosts: hosts.RegistryHosts})

	_, desc, err := r.Resolve(context.Background(), host+"/team/app:1")
	check(err)
	fmt.Println(desc.MediaType)
	// Output:
	// HEAD alpha.cert 403
	// HEAD bravo.cert 200
	// application/vnd.docker.distribution.manifest.v2+json
}

// startRegistry starts a registry with the image team/app:1 that answers 403
// unless the client certificate of bravo is presented, and makes a root of host
// directories for it with those of alpha and bravo.
func startRegistry() (host, root string, stop func()) {
	clients, servers := certtest.NewCA("clients"), certtest.NewCA("servers")
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.PeerCertificates[0].Subject.CommonName != "bravo" {
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
	check(clients.Client("bravo").Write(dir, "bravo"))

	transport := &certsd.Transport{Hosts: &certsd.Hosts{Roots: certsd.Roots{root}}}
	defer transport.CloseIdleConnections()
	ref, err := name.ParseReference(host + "/team/app:1")
	check(err)
	check(remote.Write(ref, empty.Image, remote.WithTransport(transport)))
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
