package certsd

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// Two endpoints of one server keep their own pairs.
func TestEndpointsOfOneServer(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	dir.add(t, "registry.example", "a", "b")
	dir.write(t, "registry.example/hosts.toml", `
[host."`+s.URL+`/a"]
  ca = "ca.crt"
  client = [["a.cert", "a.key"]]
  override_path = true
[host."`+s.URL+`/b"]
  ca = "ca.crt"
  client = [["b.cert", "b.key"]]
  override_path = true
`)
	tr := dir.transport(t)
	host, err := tr.hosts().Lookup("registry.example")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"a", "b"} {
		get(t, tr.ForEndpoint("registry.example", host.Endpoints[i], nil), s.URL+host.Endpoints[i].Path+"/app/manifests/1")
		if diff := cmp.Diff([]string{want}, s.clients()); diff != "" {
			t.Errorf("endpoint %d, clients (-want +got):\n%s", i, diff)
		}
	}
}

// Not to verify is for a registry on this machine without a directory.
func TestWishNotToVerify(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{})
	dir := newCertsDir(t)
	tr := dir.transport(t)
	status := func() error {
		t.Helper()
		host, err := tr.hosts().Lookup(s.host)
		if err != nil {
			t.Fatal(err)
		}
		ep := *host.Endpoints[0]
		ep.SkipVerify = true
		_, err = send(t, tr.ForEndpoint(s.host, &ep, nil), newRequest(t.Context(), t, "GET", s.URL, ""))
		return err
	}
	if err := status(); err != nil {
		t.Error(err)
	}
	dir.write(t, s.host+"/ca.crt", string(certtest.NewCA("another").PEM))
	if !errors.As(status(), new(*VerificationError)) {
		t.Errorf("error %v, want a VerificationError", status())
	}
}

// What was replaced is not kept by those that had connections of it.
func TestReplacedEndpointsAreForgotten(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	dir := newCertsDir(t)
	path := dir.add(t, s.host)
	tr := dir.transport(t)
	for _, client := range []string{"1", "2", "3", "4"} {
		if err := pairOf(client).Write(path, "a"); err != nil {
			t.Fatal(err)
		}
		get(t, view(t, tr, s.host, nil), s.URL+"/v2/")
	}
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if kept := len(tr.states.byLife) + len(tr.states.apart); kept != 1 {
		t.Errorf("%d states are kept", kept)
	}
	s.waitClosed(t, 3)
}

func TestPreferred(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "b")})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	rt := view(t, dir.transport(t), s.host, nil)
	want := func(repository, name string) {
		t.Helper()
		if got := nameOf(rt.preferred(repository)); got != name {
			t.Errorf("%s: got %q, want %q", repository, got, name)
		}
	}
	want("app", "a.cert")
	get(t, rt, s.URL+"/v2/app/manifests/1")
	want("app", "b.cert")
	want("other", "a.cert")
	if got := nameOf(rt.PreferredFor(newRequest(t.Context(), t, "GET", s.URL+"/v2/app/blobs/1", ""))); got != "b.cert" {
		t.Errorf("for a request: %q", got)
	}
}

// One identity alone is presented, or none, whatever is configured beside it.
func TestForIdentity(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "a")})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	tr := dir.transport(t)
	host, err := tr.hosts().Lookup(s.host)
	if err != nil {
		t.Fatal(err)
	}
	ep := host.Endpoints[0]
	for _, id := range append([]*Identity{nil}, ep.Identities...) {
		v := tr.ForIdentity(s.host, ep, id)
		get(t, v, s.URL+"/v2/")
		v.CloseIdleConnections()
	}
	if diff := cmp.Diff([]string{"", "a", "b"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}
