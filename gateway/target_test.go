package gateway

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/reference"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

func TestTargets(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"/v2/app/manifests/1?ns=registry.example":                  "registry.example/app:1",
		"/v2/a/b/c/manifests/1?ns=Registry.Example.:5000":          "registry.example:5000/a/b/c:1",
		"/v2/registry.example/app/manifests/1":                     "registry.example/app:1",
		"/v2/registry.example:5000/app/manifests/1":                "registry.example:5000/app:1",
		"/v2/registry.example_5000/app/manifests/1":                "registry.example:5000/app:1",
		"/v2/localhost/app/manifests/1":                            "localhost/app:1",
		"/v2/localhost_5000/app/manifests/1":                       "localhost:5000/app:1",
		"/v2/registry_5000/app/manifests/1":                        "registry:5000/app:1",
		"/v2/127.0.0.1_5000/app/manifests/1":                       "127.0.0.1:5000/app:1",
		"/v2/[::1]:5000/app/manifests/1":                           "[::1]:5000/app:1",
		"/v2/[::FFFF:7f00:1]:05000/app/manifests/1":                "[::ffff:127.0.0.1]:5000/app:1",
		"/v2/app/manifests/1?ns=[0:0::0001]:005000":                "[::1]:5000/app:1",
		"/v2/Registry.Example._005000/app/manifests/1":             "registry.example:5000/app:1",
		"/v2/registry.example:0443/app/manifests/1":                "registry.example:443/app:1",
		"/v2/app/manifests/1?ns=XN--bcher-kva.Example":             "xn--bcher-kva.example/app:1",
		"/v2/docker.io/library/app/blobs/" + someDigest:            "docker.io/library/app@" + someDigest,
		"/v2/registry.example/manifests/manifests/manifests":       "registry.example/manifests:manifests",
		"/v2/registry.example/tags/list/tags/list":                 "registry.example/tags/list",
		"/v2/registry.example/app/tags/list?ns=other.example":      "", // a name with a dot before its first slash
		"/v2/app/referrers/" + someDigest + "?ns=registry.example": "registry.example/app@" + someDigest,
	} {
		u, err := url.ParseRequestURI(raw)
		must(t, err)
		got, err := parseTarget(u)
		switch {
		case want == "" && err == nil && got.named() == "other.example/registry.example/app":
		case err != nil || got.named() != want:
			t.Errorf("%s: %v, %v; want %s", raw, got, err, want)
		}
	}
}

// FuzzTarget: what is let through is safe in URLs, references and file names.
func FuzzTarget(f *testing.F) {
	f.Add("/v2/app/manifests/1", "ns=registry.example")
	f.Add("/v2/registry.example_5000/app/blobs/"+someDigest, "")
	f.Add("/v2/a/../b/tags/list", "ns=a&ns=b")
	f.Add("/v2/%2e%2e/referrers/"+someDigest, "artifactType=x")
	f.Fuzz(func(t *testing.T, p, query string) {
		u, err := url.ParseRequestURI(p)
		if err != nil {
			return
		}
		u.RawQuery = query
		got, err := parseTarget(u)
		if err != nil {
			if faultOf(err).status < 400 {
				t.Errorf("%q: status %d", p, faultOf(err).status)
			}
			return
		}
		if got.kind == kindBase {
			return
		}
		if host, err := hostname.Canonical(got.host); err != nil || host != got.host {
			t.Errorf("%q: host %q, %v", p, got.host, err)
		}
		if path.Clean("/"+got.repository) != "/"+got.repository || strings.Trim(got.repository, "abcdefghijklmnopqrstuvwxyz0123456789._-/") != "" {
			t.Errorf("%q: repository %q", p, got.repository)
		}
		spec, err := reference.Parse(got.named())
		if err != nil || spec.Hostname() != got.host || strings.TrimPrefix(spec.Locator, got.host+"/") != got.repository {
			t.Errorf("%q: %s is %+v, %v", p, got.named(), spec, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes 0-9/10", "bytes=0-9")
	f.Add("bytes 5-9/10", "bytes=-5")
	f.Fuzz(func(t *testing.T, contentRange, wanted string) {
		if answersRange(contentRange, wanted) && !strings.HasPrefix(contentRange, "bytes ") {
			t.Errorf("%q answers %q", contentRange, wanted)
		}
	})
}
