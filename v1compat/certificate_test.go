package v1compat

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/errdefs"
)

// The example that came with Docker's certs.d, its Apache imitated: any client
// certificate will do, none is 403, and the ping's 403 is no obstacle.
func TestExampleOfCertsD(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("localhost")
	srv := v1test.New(v1test.Options{
		Quirks: v1test.Example(),
		TLS:    &tls.Config{Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS}, ClientAuth: tls.RequestClientCert},
		Wrap:   v1test.Certificates("right"),
	})
	t.Cleanup(srv.Close)
	for _, name := range []string{"busybox", "library/busybox"} {
		srv.Add(name, "latest", v1test.Layer{Data: []byte("x")})
	}
	pull := func(pairs ...tls.Certificate) error {
		c := clientOf(t, srv)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: pairs}}
		t.Cleanup(transport.CloseIdleConnections)
		c.Scheme, c.HTTP.Transport = "https", transport
		_, err := c.Image(t.Context(), "busybox", "latest")
		return err
	}
	if err := pull(ca.Client("right").TLS); err != nil {
		t.Errorf("the right certificate: %v", err)
	}
	for name, pairs := range map[string][]tls.Certificate{"none": nil, "the wrong one": {ca.Client("wrong").TLS}} {
		err := pull(pairs...)
		if !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "GET repositories/busybox/images: status 403 Forbidden: Client certificate invalid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
