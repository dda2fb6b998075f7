package hoststoml

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	yes := true
	rotateOn, err := ParseRotateOn([]string{"403", "404", "5xx"})
	if err != nil {
		t.Fatal(err)
	}
	all := func(e Endpoint) *Endpoint {
		if e.Capabilities == 0 {
			e.Capabilities = AllCapabilities
		}
		return &e
	}
	self := func(e Endpoint) *Endpoint {
		e.Path = "/v2"
		return all(e)
	}
	for _, tt := range []struct {
		about, text string
		want        File
	}{
		{"a comment is the registry itself", "# nothing\n", File{Endpoints: []*Endpoint{self(Endpoint{})}}},
		{
			"the server", `server = "https://registry.example:5000"`,
			File{Endpoints: []*Endpoint{all(Endpoint{Scheme: "https", Host: "registry.example:5000", Path: "/v2"})}},
		},
		{
			"a server without scheme", `server = "registry.example:5000/sub/"`,
			File{Endpoints: []*Endpoint{all(Endpoint{Scheme: "https", Host: "registry.example:5000", Path: "/sub/v2"})}},
		},
		{
			"a name that begins like a scheme", `server = "httpd.example:5000"`,
			File{Endpoints: []*Endpoint{all(Endpoint{Scheme: "https", Host: "httpd.example:5000", Path: "/v2"})}},
		},
		{
			"the path as it is", "server = 'http://registry.example/api/'\noverride_path = true",
			File{Endpoints: []*Endpoint{all(Endpoint{Scheme: "http", Host: "registry.example", Path: "/api"})}},
		},
		{
			"hosts in the order of the file, the server last", lines(
				`[host."https://b"]`, `[host."https://c".header]`, `x = "1"`, `[host."https://a"]`, `[host."https://b".header]`, `x = ["1", "2"]`),
			File{Endpoints: []*Endpoint{
				all(Endpoint{Scheme: "https", Host: "b", Path: "/v2", Header: http.Header{"x": {"1", "2"}}, Key: `host."https://b"`}),
				all(Endpoint{Scheme: "https", Host: "c", Path: "/v2", Header: http.Header{"x": {"1"}}, Key: `host."https://c"`}),
				all(Endpoint{Scheme: "https", Host: "a", Path: "/v2", Key: `host."https://a"`}),
				self(Endpoint{}),
			}},
		},
		{
			"hosts in dotted keys and inline tables", lines(
				`host."b".capabilities = ["pull", "Resolve"]`, `host.a = { skip_verify = true, dial_timeout = "1500ms" }`),
			File{Endpoints: []*Endpoint{
				all(Endpoint{Scheme: "https", Host: "b", Path: "/v2", Capabilities: Pull | Resolve, Key: `host.b`}),
				all(Endpoint{Scheme: "https", Host: "a", Path: "/v2", SkipVerify: &yes, DialTimeout: 1500 * time.Millisecond, Key: `host.a`}),
				self(Endpoint{}),
			}},
		},
		{
			"one file each", "ca = 'ca.crt'\nclient = 'client.pem'",
			File{Endpoints: []*Endpoint{self(Endpoint{CA: []string{"ca.crt"}, Client: []ClientFiles{{Cert: "client.pem"}}, CALine: 1, ClientLine: 2})}},
		},
		{
			"files and pairs", "ca = ['a.crt', '/b.crt']\nclient = [['c.cert', 'c.key'], 'd.pem']",
			File{Endpoints: []*Endpoint{self(Endpoint{
				CA: []string{"a.crt", "/b.crt"}, Client: []ClientFiles{{Cert: "c.cert", Key: "c.key"}, {Cert: "d.pem", Listed: true}},
				CALine: 1, ClientLine: 2,
			})}},
		},
		{
			"no CA and no client said explicitly", "ca = []\nclient = []",
			File{Endpoints: []*Endpoint{self(Endpoint{CA: []string{}, Client: []ClientFiles{}, CALine: 1, ClientLine: 2})}},
		},
		{
			"our own keys", lines(`registry_v1 = "always"`, `rotate_on = ["403", "404", "5xx"]`, `system_roots = "append"`),
			File{
				Endpoints: []*Endpoint{self(Endpoint{})}, RegistryV1: "always",
				RotateOn: &rotateOn, SystemRoots: "append",
			},
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			got, problems := Parse("hosts.toml", []byte(tt.text))
			if len(problems) > 0 {
				t.Fatalf("problems: %v", problems)
			}
			if diff := cmp.Diff(&tt.want, got, cmp.AllowUnexported(RotateOn{})); diff != "" {
				t.Errorf("hosts (-want +got):\n%s", diff)
			}
		})
	}
}

func lines(texts ...string) string { return strings.Join(texts, "\n") }
