package resolver

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
)

// transport is a function as http.RoundTripper.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestHeadersAreForTheRegistryAlone(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		// way are the URLs from the first request to the last.
		way  string
		want bool
	}{
		"the registry":                 {"https://reg:5000/v1/x", true},
		"another host":                 {"https://cdn:5000/x", false},
		"another port":                 {"https://reg:5001/v1/x", false},
		"plain HTTP":                   {"http://reg:5000/v1/x", false},
		"a redirect inside":            {"https://reg:5000/v1/x https://reg:5000/v1/x/", true},
		"two, in another spelling":     {"https://reg:5000/v1/x https://REG:5000/v1/y https://reg:5000/v1/z", true},
		"a redirect to elsewhere":      {"https://reg:5000/v1/x https://cdn/x", false},
		"there and back":               {"https://reg:5000/v1/x https://cdn/x https://reg:5000/v1/y", false},
		"there, on and back":           {"https://reg:5000/v1/x https://cdn/x https://reg:5000/v1/y https://reg:5000/v1/z", false},
		"a redirect of unknown origin": {"- https://reg:5000/v1/z", false},
	} {
		var last *http.Request
		for u := range strings.FieldsSeq(row.way) {
			next := httptest.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(u, "-", "/", 1), nil)
			if last != nil {
				next.Response = &http.Response{Request: last}
				if last.URL.Host == "" {
					next.Response.Request = nil
				}
			}
			last = next
		}
		var sent http.Header
		ht := &headerTransport{
			next: transport(func(req *http.Request) (*http.Response, error) {
				sent = req.Header
				return &http.Response{}, nil
			}),
			endpoint: &endpoint{RegistryHost: docker.RegistryHost{Scheme: "https", Host: "reg:5000", Header: http.Header{"X-Team": {"blue"}}}, pull: http.Header{"X-Pull": {"green"}}},
		}
		if _, err := ht.RoundTrip(last); err != nil { //nolint:bodyclose // it has none
			t.Fatal(err)
		}
		if got := sent.Get("X-Team") == "blue" && sent.Get("X-Pull") == "green"; got != row.want || !got && len(sent) != 0 {
			t.Errorf("%s: sent %v", name, sent)
		}
		if len(last.Header) != 0 {
			t.Errorf("%s: the request was changed: %v", name, last.Header)
		}
	}
}

// resolverFor is a resolver with these endpoints for registry.test, which has
// a directory. A GET of /v2/ below any of them is answered with 404.
func resolverFor(t *testing.T, hosts ...docker.RegistryHost) (r *Resolver, asked *[]string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "registry.test"), 0o700); err != nil {
		t.Fatal(err)
	}
	asked = new([]string)
	for i := range hosts {
		hosts[i].Scheme = "https"
		hosts[i].Client = &http.Client{Transport: transport(func(req *http.Request) (*http.Response, error) {
			*asked = append(*asked, req.URL.Host+req.URL.Path)
			return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: req}, nil
		})}
	}
	r = New(Options{Hosts: &Hosts{Roots: certsd.Roots{root}}})
	r.registries.known["registry.test"] = hosts
	return r, asked
}

func TestEndpointForRegistryV1(t *testing.T) {
	t.Parallel()
	const reading = docker.HostCapabilityPull | docker.HostCapabilityResolve
	for name, row := range map[string]struct {
		host docker.RegistryHost
		want bool
	}{
		"the registry":              {docker.RegistryHost{Host: "reg", Path: "/v2", Capabilities: reading}, true},
		"Docker Hub":                {docker.RegistryHost{Host: "registry-1.docker.io", Path: "/v2", Capabilities: reading}, false},
		"with a path of its own":    {docker.RegistryHost{Host: "reg", Path: "/v2/mirror", Capabilities: reading}, false},
		"for pulling by digest":     {docker.RegistryHost{Host: "reg", Path: "/v2", Capabilities: docker.HostCapabilityPull}, false},
		"for resolving, not pulled": {docker.RegistryHost{Host: "reg", Path: "/v2", Capabilities: docker.HostCapabilityResolve | docker.HostCapabilityPush}, false},
	} {
		r, asked := resolverFor(t, row.host)
		e, err := r.legacy.v1.endpoint(t.Context(), reference.Spec{Locator: "registry.test/app", Object: "1"})
		if got := err == nil && e.Host == row.host.Host; got != row.want || len(*asked) > 0 != row.want {
			t.Errorf("%s: %v, asked %q", name, err, *asked)
		}
	}
}

func TestSchema1ManifestsComeFromWhereIsPulled(t *testing.T) {
	t.Parallel()
	r, asked := resolverFor(
		t,
		docker.RegistryHost{Host: "resolves", Path: "/v2", Capabilities: docker.HostCapabilityResolve},
		docker.RegistryHost{Host: "pulls", Path: "/v2", Capabilities: docker.HostCapabilityPull},
	)
	_, err := r.legacy.schema1.image(t.Context(), reference.Spec{Locator: "registry.test/app", Object: "1"}, ocispec.Descriptor{})
	if err == nil || len(*asked) != 1 || (*asked)[0] != "pulls/v2/app/manifests/1" {
		t.Errorf("%v, asked %q", err, *asked)
	}
}

func TestRegistryV1CredentialsAreAskedForByTheNameInTheReference(t *testing.T) {
	t.Parallel()
	r := New(Options{Credentials: func(host string) (string, string, error) { return "jo", "pw for " + host, nil }})
	for host, want := range map[string]string{"registry.test": "pw for Registry.Test", "mirror.test": "pw for mirror.test"} {
		_, secret, err := r.legacy.v1.credentials("Registry.Test")(t.Context(), host)
		if secret != want || err != nil {
			t.Errorf("%s: %q, %v", host, secret, err)
		}
	}
}

func TestDockerHubIsNeverAskedInV1(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"docker.io":                false,
		"registry-1.docker.io":     false,
		"registry-1.docker.io:443": false,
		"index.docker.io":          false,
		"registry.docker.io.test":  true,
	} {
		for _, policy := range []V1Policy{"", V1Configured, V1Always} {
			h := &Hosts{RegistryV1: policy}
			if got := h.AllowsV1(&certsd.Host{Name: host, Own: true, RegistryV1: V1Always}); got != want {
				t.Errorf("%s with %q: %v", host, policy, got)
			}
		}
	}
}

func TestRegistryV1PoliciesAreReadFromTheConfiguration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]V1Policy{"": V1Configured, "never": V1Never, "configured": V1Configured, "always": V1Always} {
		if got, err := parseV1Policy(text); got != want || err != nil {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	if _, err := parseV1Policy("sometimes"); err == nil || err.Error() != `"sometimes" is not one of "never", "configured" and "always"` {
		t.Errorf("got %v", err)
	}
}
