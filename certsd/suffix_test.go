package certsd

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// TestSuffixDirectoryIsNobodysOwn has a directory for a domain, with certificates
// and a proxy. They are for the registry that a person names, and not for hosts of
// the same domain to which the registry leads.
func TestSuffixDirectoryIsNobodysOwn(t *testing.T) {
	t.Parallel()
	elsewhere := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		if name, found := strings.CutPrefix(r.URL.Path, "/to/"); found {
			http.Redirect(w, r, "https://"+name+"/there", http.StatusTemporaryRedirect)
		}
	}})
	p := newConnectProxy(t, "")
	p.names = map[string]string{
		"registry.corp.test:443": s.host, "own.corp.test:443": elsewhere.host, "blobs.corp.test:443": elsewhere.host,
	}
	dir := newCertsDir(t)
	dir.add(t, "_.corp.test", "alpha")
	dir.hostsFile(t, "_.corp.test", "proxy = %q\nskip_verify = true\n[header]\nX-Secret = \"of-the-domain\"\n", p.URL)
	dir.hostsFile(t, "own.corp.test", "proxy = %q\nskip_verify = true\n", p.URL)
	tr := dir.transport(t)
	tr.Hosts = &Hosts{Roots: hostdir.Roots{string(dir)}, SuffixDirectories: true}
	rt := view(t, tr, "registry.corp.test", nil)

	if status := get(t, rt, "https://registry.corp.test/v2/"); status != http.StatusOK {
		t.Fatal(status)
	}
	if requests := s.take(); !slices.Equal(requests, []string{"GET /v2/ alpha"}) {
		t.Errorf("the registry saw %q", requests)
	}
	// One with a directory of its own gets what that says: no certificate.
	if status := get(t, rt, "https://registry.corp.test/to/own.corp.test"); status != http.StatusOK {
		t.Error(status)
	}
	for _, r := range elsewhere.takeAll() {
		if r.Client != "" || r.Header.Get("X-Secret") != "" {
			t.Errorf("the target of a redirect saw %+v", r)
		}
	}
	// Those without one get neither the certificate nor the proxy, be they the target
	// of a redirect, a token server or asked for with no registry known.
	p.take()
	for _, url := range []string{"https://registry.corp.test/to/blobs.corp.test", "https://blobs.corp.test/token"} {
		if _, err := send(t, rt, newRequest(t.Context(), t, http.MethodGet, url, "")); err == nil {
			t.Errorf("%s: it was reached by the proxy of the domain", url)
		}
	}
	if _, err := send(t, &Transport{Hosts: tr.Hosts}, newRequest(t.Context(), t, http.MethodGet, "https://blobs.corp.test/", "")); err == nil {
		t.Error("it was reached by the proxy of the domain")
	}
	if asked := p.take(); slices.Contains(asked, "CONNECT blobs.corp.test:443") {
		t.Errorf("the proxy was asked for %q", asked)
	}
	if requests := elsewhere.take(); len(requests) > 0 {
		t.Errorf("it was asked: %q", requests)
	}
}
