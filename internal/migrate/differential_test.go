package migrate_test

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	serverconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"golang.org/x/tools/txtar"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// asked is an endpoint as a pull meets it. The TLS settings of one in plain
// HTTP are of no consequence.
type asked struct {
	Scheme, Host, Path string
	Capabilities       docker.HostCapabilities
	SkipVerify         bool
	Roots              string
	Certificates       []string
	// HTTPFallback reports whether plain HTTP may follow.
	HTTPFallback bool
}

const (
	pulls = docker.HostCapabilityPull | docker.HostCapabilityResolve
	all   = pulls | docker.HostCapabilityPush | docker.HostCapabilityReferrers
)

// row is an old configuration and the registries to ask it about.
type row struct {
	about string
	// cri is what comes below the registry table of the CRI plugin; in it
	// "mirrors." and "configs." begin tables.
	cri        string
	files      string
	registries []string
	// differs is what is meant to be another: nil if nothing.
	differs func(old []asked) []asked
	// docker reports whether CA roots are from Docker's files: for certsd the
	// system's do not count beside them.
	docker bool
	// warned reports whether certsd finds two files for one registry.
	warned bool
}

var rows = []row{
	{about: "one mirror", cri: "[mirrors.'docker.io']\nendpoint=['https://m.test']", registries: []string{"docker.io", "reg.test"}},
	{about: "mirrors in their order", cri: "[mirrors.'reg.test']\nendpoint=['https://c.test','https://a.test','https://b.test']", registries: []string{"reg.test"}},
	{about: "no mirrors", cri: "[mirrors.'reg.test']\nendpoint=[]\n[mirrors.'*']\nendpoint=['https://m.test']", registries: []string{"reg.test", "other.test"}},
	{about: "mirrors of all registries", cri: "[mirrors.'*']\nendpoint=['https://m.test']", registries: []string{"docker.io", "reg.test", "reg.test:5000", "m.test"}},
	{about: "of all and of one", cri: "[mirrors.'*']\nendpoint=['https://m.test']\n[mirrors.'reg.test']\nendpoint=['https://n.test']", registries: []string{"docker.io", "reg.test"}},
	{about: "a registry with a port", cri: "[mirrors.'reg.test:5000']\nendpoint=['https://m.test:5001']", registries: []string{"reg.test:5000", "reg.test"}},
	{about: "plain HTTP", cri: "[mirrors.'reg.test']\nendpoint=['http://m.test:5000']", registries: []string{"reg.test"}},
	{about: "the registry itself in plain HTTP", cri: "[mirrors.'reg.test:5000']\nendpoint=['http://reg.test:5000']", registries: []string{"reg.test:5000"}},
	{about: "the registry itself among its mirrors", cri: "[mirrors.'reg.test']\nendpoint=['https://reg.test','https://m.test']", registries: []string{"reg.test"}},
	{about: "the registry itself as the last", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test','https://reg.test']", registries: []string{"reg.test"}},
	{about: "the registry itself below a path", cri: "[mirrors.'reg.test']\nendpoint=['https://reg.test/proxy']", registries: []string{"reg.test"}},
	{about: "Docker Hub's server among the mirrors", cri: "[mirrors.'docker.io']\nendpoint=['https://m.test','https://registry-1.docker.io']", registries: []string{"docker.io"}},
	{about: "no scheme", cri: "[mirrors.'reg.test']\nendpoint=['m.test','n.test:5000']", registries: []string{"reg.test"}},
	{about: "no scheme on this machine", cri: "[mirrors.'reg.test']\nendpoint=['localhost:5000','127.0.0.1:5001/x']", registries: []string{"reg.test"}},
	{about: "a registry on this machine", cri: "[mirrors.'localhost:5000']\nendpoint=['https://m.test']", registries: []string{"localhost:5000"}},
	{about: "a path", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test/proxy/hub']", registries: []string{"reg.test"}},
	{about: "a path with the API's", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test/v2','https://n.test/v2/','https://o.test/proxy/v2']", registries: []string{"reg.test"}},
	{about: "a path and the API's below it", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test/x','https://m.test/x/v2','https://m.test']", registries: []string{"reg.test"}},
	{about: "the API's path and more", cri: "[mirrors.'docker.io']\nendpoint=['https://m.test/v2/hub-proxy']", registries: []string{"docker.io"}},
	{about: "a slash", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test/','https://n.test/x/']", registries: []string{"reg.test"}},
	{about: "an escaped path", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test/a%20b/c\"d']", registries: []string{"reg.test"}},
	{about: "an IPv6 address", cri: "[mirrors.'[2001:db8::1]:5000']\nendpoint=['https://[2001:db8::2]:5000']", registries: []string{"[2001:db8::1]:5000"}},
	{about: "a CA", cri: "[configs.'reg.test'.tls]\nca_file='$DIR/ca'", registries: []string{"reg.test", "other.test"}},
	{about: "a CA and a client certificate", cri: "[configs.'reg.test:5000'.tls]\nca_file='$DIR/ca'\ncert_file='$DIR/alpha.cert'\nkey_file='$DIR/alpha.key'", registries: []string{"reg.test:5000"}},
	{about: "a client certificate alone", cri: "[configs.'reg.test'.tls]\ncert_file='$DIR/alpha.cert'\nkey_file='$DIR/alpha.key'", registries: []string{"reg.test"}},
	{about: "no verification", cri: "[configs.'reg.test'.tls]\ninsecure_skip_verify=true", registries: []string{"reg.test"}},
	{about: "no verification, and a client certificate", cri: "[configs.'reg.test'.tls]\ninsecure_skip_verify=true\ncert_file='$DIR/alpha.cert'\nkey_file='$DIR/alpha.key'", registries: []string{"reg.test"}},
	{about: "a mirror with TLS settings", cri: "[mirrors.'docker.io']\nendpoint=['https://m.test']\n[configs.'m.test'.tls]\nca_file='$DIR/ca'\ncert_file='$DIR/beta.cert'\nkey_file='$DIR/beta.key'", registries: []string{"docker.io", "m.test"}},
	{about: "TLS settings of the registry, none of the mirror", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test']\n[configs.'reg.test'.tls]\nca_file='$DIR/ca'", registries: []string{"reg.test", "m.test"}},
	{about: "TLS settings of both", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test']\n[configs.'reg.test'.tls]\nca_file='$DIR/ca'\n[configs.'m.test'.tls]\nca_file='$DIR/other'\ncert_file='$DIR/alpha.cert'\nkey_file='$DIR/alpha.key'", registries: []string{"reg.test", "m.test"}},
	{about: "TLS settings of Docker Hub's server", cri: "[configs.'registry-1.docker.io'.tls]\nca_file='$DIR/ca'", registries: []string{"docker.io", "registry-1.docker.io"}, warned: true},
	{about: "TLS settings of Docker Hub's name", cri: "[configs.'docker.io'.tls]\nca_file='$DIR/ca'", registries: []string{"docker.io"}},
	{about: "TLS settings of a mirror of all", cri: "[mirrors.'*']\nendpoint=['https://m.test']\n[configs.'m.test'.tls]\nca_file='$DIR/ca'\n[configs.'reg.test'.tls]\nskip_verify=true\ninsecure_skip_verify=true", registries: []string{"docker.io", "reg.test", "m.test"}},
	{about: "TLS settings of one in plain HTTP", cri: "[mirrors.'reg.test']\nendpoint=['http://m.test:5000']\n[configs.'m.test:5000'.tls]\ninsecure_skip_verify=true\nca_file='$DIR/ca'", registries: []string{"reg.test", "m.test:5000"}},
	{about: "TLS settings of this machine", cri: "[configs.'localhost:5000'.tls]\nca_file='$DIR/ca'", registries: []string{"localhost:5000"}},
	{about: "TLS settings of another port", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test:5000']\n[configs.'m.test'.tls]\nca_file='$DIR/ca'", registries: []string{"reg.test"}},
	{about: "a mirror twice", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test','https://n.test','https://m.test']", registries: []string{"reg.test"}, differs: without(2)},
	{about: "what is no endpoint", cri: "[mirrors.'reg.test']\nendpoint=['ftp://m.test','https://n.test']", registries: []string{"reg.test"}, differs: without(0)},
	{
		about: "a mirror with Docker's files for it", cri: "[mirrors.'reg.test']\nendpoint=['https://m.test']", files: "-- docker/m.test/ca.crt --\n@ca\n-- docker/m.test/x.cert --\n@alpha.cert\n-- docker/m.test/x.key --\n@alpha.key\n",
		registries: []string{"reg.test"}, docker: true, differs: func(old []asked) []asked {
			old[0].Roots, old[0].Certificates = "system+ca", []string{"alpha"}
			return old
		},
	},
}

// without leaves out an endpoint.
func without(i int) func([]asked) []asked {
	return func(old []asked) []asked { return append(old[:i:i], old[i+1:]...) }
}

// TestSameAsTheOldConfiguration asks the old configuration by the rules of
// containerd 1.7, and the new tree through containerd and through certsd.
func TestSameAsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	// containerd logs what it passes over.
	log.L.Logger.SetOutput(io.Discard)
	for i, tt := range rows {
		// Each version has the table in another place.
		for version, table := range map[int]string{1: "plugins.cri", 2: "plugins.'io.containerd.grpc.v1.cri'", 3: "plugins.'io.containerd.cri.v1.images'"} {
			if version != 2 && i%3 != version%3 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", tt.about, version), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				text := strings.NewReplacer("[mirrors.", "["+table+".registry.mirrors.", "[configs.", "["+table+".registry.configs.").Replace(tt.cri)
				lay(t, dir, []txtar.File{{Name: "config.toml", Data: fmt.Appendf(nil, "version = %d\n%s\n", version, text)}})
				for name, data := range pems {
					if err := os.WriteFile(filepath.Join(dir, strings.TrimPrefix(name, "@")), data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				lay(t, dir, txtar.Parse([]byte(tt.files)).Files)
				out := filepath.Join(dir, "certs.d")
				plan, err := migrate.New(migrate.Options{
					Roots: certsd.Roots{filepath.Join(dir, "docker")}, Configs: []string{filepath.Join(dir, "config.toml")}, Output: out,
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := plan.Write(); err != nil {
					t.Fatal(err)
				}
				old := oldCRI(t, filepath.Join(dir, "config.toml"))
				for _, registry := range tt.registries {
					want := old.endpoints(t, registry)
					if tt.differs != nil {
						want = tt.differs(want)
					}
					compare(t, out, registry, want, tt)
				}
			})
		}
	}
}

// compare asks the new tree.
func compare(t *testing.T, root, registry string, want []asked, tt row) {
	t.Helper()
	for i := range want {
		want[i].Path = path.Join("/", want[i].Path)
		if want[i].Scheme == "http" {
			want[i] = asked{Scheme: "http", Host: want[i].Host, Path: want[i].Path, Capabilities: want[i].Capabilities}
		}
	}
	if diff := gocmp.Diff(want, once(containerds(t, root, registry))); diff != "" {
		t.Errorf("%s: not the same in containerd (-old +new):\n%s", registry, diff)
	}
	for i := range want {
		if tt.docker && strings.Contains(want[i].Roots, "+") {
			want[i].Roots = strings.TrimPrefix(want[i].Roots, "system")
		}
	}
	warn := func(_ string, problem error) {
		if !tt.warned {
			t.Errorf("a warning: %v", problem)
		}
	}
	if diff := gocmp.Diff(want, once(own(t, root, registry, warn))); diff != "" {
		t.Errorf("%s: not the same in certsd (-old +new):\n%s", registry, diff)
	}
}

// once leaves out what is asked twice in a row. In _default the registry may
// be one of the mirrors.
func once(endpoints []asked) []asked {
	var kept []asked
	for i, e := range endpoints {
		if i+1 < len(endpoints) {
			next := endpoints[i+1]
			if next.Capabilities = e.Capabilities; gocmp.Equal(next, e) {
				continue
			}
		}
		kept = append(kept, e)
	}
	return kept
}

// criRegistry are the deprecated keys.
type criRegistry struct {
	Mirrors map[string]struct {
		Endpoints []string `toml:"endpoint"`
	} `toml:"mirrors"`
	Configs map[string]struct {
		TLS *struct {
			InsecureSkipVerify bool   `toml:"insecure_skip_verify"`
			CAFile             string `toml:"ca_file"`
			CertFile           string `toml:"cert_file"`
			KeyFile            string `toml:"key_file"`
		} `toml:"tls"`
	} `toml:"configs"`
}

// oldCRI reads a configuration with containerd's own reader.
func oldCRI(t *testing.T, file string) criRegistry {
	t.Helper()
	var c serverconfig.Config
	if err := serverconfig.LoadConfig(t.Context(), file, &c); err != nil {
		t.Fatal(err)
	}
	var r criRegistry
	for _, plugin := range []string{"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"} {
		settings, ok := c.Plugins[plugin].(map[string]any)
		if !ok {
			continue
		}
		text, err := toml.Marshal(settings["registry"])
		if err != nil {
			t.Fatal(err)
		}
		if err := toml.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// endpoints are what containerd 1.7 makes of the keys: registryHosts and
// registryEndpoints in pkg/cri/server/image_pull.go.
func (r criRegistry) endpoints(t *testing.T, host string) []asked {
	t.Helper()
	addresses := r.Mirrors["*"].Endpoints
	if m, found := r.Mirrors[host]; found {
		addresses = m.Endpoints
	}
	server, err := docker.DefaultHost(host)
	if err != nil {
		t.Fatal(err)
	}
	itself := false
	var urls []*url.URL
	for _, address := range addresses {
		if !strings.Contains(address, "://") {
			address = defaultScheme(t, address) + "://" + address
		}
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		itself = itself || u.Host == host
		urls = append(urls, u)
	}
	if !itself {
		urls = append(urls, &url.URL{Scheme: defaultScheme(t, server), Host: server})
	}
	var endpoints []asked
	for i, u := range urls {
		if i > 0 && *urls[i-1] == *u {
			// Asked twice in a row.
			continue
		}
		e := asked{Scheme: u.Scheme, Host: u.Host, Path: cmp.Or(u.Path, "/v2"), Capabilities: pulls, Roots: "system"}
		if u.Host == host || u.Host == server {
			// CRI never pushes. Other clients read the tree, too.
			e.Capabilities = all
		}
		if tls := r.Configs[u.Host].TLS; tls != nil {
			e.SkipVerify = tls.InsecureSkipVerify
			if tls.CAFile != "" {
				e.Roots = "system+" + filepath.Base(tls.CAFile)
			}
			if tls.CertFile != "" {
				e.Certificates = []string{strings.TrimSuffix(filepath.Base(tls.CertFile), ".cert")}
			}
		}
		endpoints = append(endpoints, e)
	}
	return endpoints
}

func defaultScheme(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse("dummy://" + address)
	if err != nil {
		t.Fatal(err)
	}
	if local, err := docker.MatchLocalhost(u.Host); local && err == nil {
		return "http"
	}
	return "https"
}

// containerds is what containerd makes of the new tree.
func containerds(t *testing.T, root, registry string) []asked {
	t.Helper()
	hosts, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})(registry)
	if err != nil {
		t.Fatal(err)
	}
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []asked
	for _, host := range hosts {
		e := asked{Scheme: host.Scheme, Host: host.Host, Path: path.Join("/", host.Path), Capabilities: host.Capabilities}
		transport, plain := host.Client.Transport.(*http.Transport)
		switch {
		case !plain:
			// containerd hides the TLS settings behind it.
			e.HTTPFallback = true
		case host.Scheme == "https":
			tls := transport.TLSClientConfig
			e.SkipVerify, e.Roots = tls.InsecureSkipVerify, rootsName(t, tls.RootCAs, system)
			for _, cert := range tls.Certificates {
				e.Certificates = append(e.Certificates, certName(t, cert.Certificate[0]))
			}
		}
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// own is what certsd makes of it.
func own(t *testing.T, root, registry string, warn func(string, error)) []asked {
	t.Helper()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnWarning: warn}}
	host, err := hosts.Lookup(registry)
	if err != nil {
		t.Fatal(err)
	}
	system, err := hosts.SystemPool()
	if err != nil {
		t.Fatal(err)
	}
	var endpoints []asked
	for _, h := range host.Endpoints {
		e := asked{
			Scheme: h.Scheme, Host: h.Host, Path: path.Join("/", h.Path),
			Capabilities: docker.HostCapabilities(h.Capabilities), HTTPFallback: h.HTTPFallback,
		}
		if h.Scheme == "https" && !h.HTTPFallback {
			e.SkipVerify, e.Roots = h.SkipVerify, rootsName(t, h.RootCAs(), system)
			for _, id := range h.Identities {
				e.Certificates = append(e.Certificates, certName(t, id.Certificate.Certificate[0]))
			}
		}
		endpoints = append(endpoints, e)
	}
	return endpoints
}

// rootsName names a pool.
func rootsName(t *testing.T, pool, system *x509.CertPool) string {
	t.Helper()
	if pool == nil {
		return "system"
	}
	for name, roots := range map[string]*x509.CertPool{"": x509.NewCertPool(), "system": system} {
		for suffix, added := range map[string][]*x509.Certificate{"": nil, "+ca": {ca.Cert}, "+other": {other.Cert}} {
			want := roots.Clone()
			for _, cert := range added {
				want.AddCert(cert)
			}
			if pool.Equal(want) {
				return name + suffix
			}
		}
	}
	t.Error("unknown roots")
	return "unknown"
}

func certName(t *testing.T, der []byte) string {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Subject.CommonName
}

// dockerRows are what Docker reads, and what it makes of it: HTTPS with the
// directory's files; for Docker Hub the mirrors before it; for an insecure
// registry HTTPS without verification, then HTTP.
var dockerRows = []struct {
	about, files, registry string
	want                   []asked
}{
	{
		about: "a CA", files: "-- docker/reg.test/ca.crt --\n@ca\n", registry: "reg.test",
		want: []asked{{Scheme: "https", Host: "reg.test", Path: "/v2", Capabilities: all, Roots: "system+ca"}},
	},
	{
		about: "two client certificates", registry: "reg.test:5000",
		files: "-- docker/reg.test:5000/b.cert --\n@beta.cert\n-- docker/reg.test:5000/b.key --\n@beta.key\n" +
			"-- docker/reg.test:5000/a.cert --\n@alpha.cert\n-- docker/reg.test:5000/a.key --\n@alpha.key\n",
		want: []asked{{Scheme: "https", Host: "reg.test:5000", Path: "/v2", Capabilities: all, Roots: "system", Certificates: []string{"alpha", "beta"}}},
	},
	{
		about: "a certificate with its key", files: "-- docker/reg.test/both.cert --\n@both\n", registry: "reg.test",
		want: []asked{{Scheme: "https", Host: "reg.test", Path: "/v2", Capabilities: all, Roots: "system", Certificates: []string{"beta"}}},
	},
	{
		about: "this machine", files: "-- docker/localhost:5000/ca.crt --\n@ca\n", registry: "localhost:5000",
		want: []asked{{Scheme: "https", Host: "localhost:5000", Path: "/v2", Capabilities: all, Roots: "system+ca"}},
	},
	{
		about: "Docker Hub", files: "-- docker/docker.io/ca.crt --\n@ca\n", registry: "docker.io",
		want: []asked{{Scheme: "https", Host: "registry-1.docker.io", Path: "/v2", Capabilities: all, Roots: "system+ca"}},
	},
	{
		about: "mirrors", files: "-- daemon.json --\n{\"registry-mirrors\": [\"https://m.test\", \"http://n.test:5000/hub/\", \"https://o.test/v2\"]}\n", registry: "docker.io",
		want: []asked{
			{Scheme: "https", Host: "m.test", Path: "/v2", Capabilities: pulls, Roots: "system"},
			{Scheme: "http", Host: "n.test:5000", Path: "/hub/v2", Capabilities: pulls},
			{Scheme: "https", Host: "o.test", Path: "/v2", Capabilities: pulls, Roots: "system"},
			{Scheme: "https", Host: "registry-1.docker.io", Path: "/v2", Capabilities: all, Roots: "system"},
		},
	},
	{
		about: "mirrors are for Docker Hub alone", files: "-- daemon.json --\n{\"registry-mirrors\": [\"https://m.test\"]}\n", registry: "reg.test",
		want: []asked{{Scheme: "https", Host: "reg.test", Path: "/v2", Capabilities: all, Roots: "system"}},
	},
	{
		about: "an insecure registry", files: "-- daemon.json --\n{\"insecure-registries\": [\"reg.test:5000\"]}\n", registry: "reg.test:5000",
		want: []asked{{Scheme: "https", Host: "reg.test:5000", Path: "/v2", Capabilities: all, HTTPFallback: true}},
	},
	{
		about: "an insecure mirror", files: "-- daemon.json --\n{\"registry-mirrors\": [\"https://m.test\"], \"insecure-registries\": [\"m.test\"]}\n", registry: "docker.io",
		want: []asked{
			{Scheme: "https", Host: "m.test", Path: "/v2", Capabilities: pulls, Roots: "system", SkipVerify: true},
			{Scheme: "https", Host: "registry-1.docker.io", Path: "/v2", Capabilities: all, Roots: "system"},
		},
	},
	{
		about: "an insecure registry with certificates", registry: "reg.test:5000",
		files: "-- daemon.json --\n{\"insecure-registries\": [\"reg.test:5000\"]}\n-- docker/reg.test:5000/ca.crt --\n@ca\n",
		want:  []asked{{Scheme: "https", Host: "reg.test:5000", Path: "/v2", Capabilities: all, Roots: "system+ca"}},
	},
}

// TestSameAsDocker asks the new tree about what Docker's files say.
func TestSameAsDocker(t *testing.T) {
	t.Parallel()
	for _, tt := range dockerRows {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lay(t, dir, append(txtar.Parse([]byte(tt.files)).Files, txtar.File{Name: "empty.toml"}))
			configs := []string{filepath.Join(dir, "empty.toml")}
			if file := filepath.Join(dir, "daemon.json"); exists(file) {
				configs = append(configs, file)
			}
			out := filepath.Join(dir, "certs.d")
			plan, err := migrate.New(migrate.Options{Roots: certsd.Roots{filepath.Join(dir, "docker")}, Configs: configs, Output: out})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := plan.Write(); err != nil {
				t.Fatal(err)
			}
			compare(t, out, tt.registry, tt.want, row{docker: true})
		})
	}
}
