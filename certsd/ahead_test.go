package certsd

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLookupForServesTheFirstRequestOfItsRegistry(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	path := dir.add(t, s.host)
	if err := pairOf("old").Write(path, "a"); err != nil {
		t.Fatal(err)
	}
	tr, elsewhere := dir.transport(t), dir.transport(t)
	ctx, host, err := tr.Hosts.LookupFor(t.Context(), s.host)
	if err != nil {
		t.Fatal(err)
	}
	rt := tr.ForEndpoint(host.Name, host.Endpoints[0], nil)
	dir.write(t, "other.example/hosts.toml", `[host."`+s.URL+`"]`)
	mirrored, err := tr.Hosts.Lookup("other.example")
	if err != nil {
		t.Fatal(err)
	}
	other := tr.ForEndpoint("other.example", mirrored.Endpoints[0], nil)
	if err := pairOf("new").Write(path, "a"); err != nil {
		t.Fatal(err)
	}
	send := func(rt http.RoundTripper) {
		t.Helper()
		if status, err := send(t, rt, newRequest(ctx, t, http.MethodGet, s.URL+"/v2/", "")); err != nil || status != http.StatusOK {
			t.Errorf("status %d, error %v", status, err)
		}
	}
	send(view(t, elsewhere, s.host, nil)) // other directories
	send(other)                           // another registry
	send(rt)                              // the registry, for the first time
	send(rt)                              // and again
	if diff := cmp.Diff([]string{"new", "new", "old", "new"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestLookupForFails(t *testing.T) {
	t.Parallel()
	h := &Hosts{Roots: Roots{t.TempDir()}}
	ctx, host, err := h.LookupFor(t.Context(), "a/b")
	if ctx == nil || host != nil || err == nil {
		t.Errorf("context %v, host %v, error %v for a name that is none", ctx, host, err)
	}
}
