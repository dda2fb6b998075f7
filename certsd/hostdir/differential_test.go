package hostdir_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// compared is what containerd and this package are to agree about.
type compared struct {
	Scheme, Host, Path string
	Capabilities       docker.HostCapabilities
	Header             http.Header
	SkipVerify         bool
	Roots              string
	Certificates       []string
	// DialExpires reports whether the time to connect is over at once: how long it
	// is cannot be seen in a function.
	DialExpires bool
	// Proxy is the way to it where the environment has none.
	Proxy string
	// HTTPFallback reports whether plain HTTP may follow. containerd hides the TLS
	// settings behind it.
	HTTPFallback bool
}

// row is one hosts.toml. In it %D is the directory.
type row struct {
	about, text string
	// registry is the registry's name if it is not reg.example:5000.
	registry string
	// more are further files in the directory.
	more map[string][]byte
	// differs is why the results are not the same, refused why this package
	// takes the file for a mistake. containerd passes over a file that it
	// cannot read and uses the upstream then.
	differs, refused string
}

var rows = []row{
	{about: "an empty file", text: ""},
	{about: "a comment", text: "# nothing"},
	{about: "the registry itself as server", text: "server = 'https://reg.example:5000'"},
	{about: "a server without scheme", text: "server = 'up.example'"},
	{about: "a server with a port and no scheme", text: "server = 'up.example:5001'"},
	{about: "a server in plain HTTP", text: "server = 'http://up.example'"},
	{about: "a server with a path", text: "server = 'https://up.example/sub/path'"},
	{about: "a server with the API's path", text: "server = 'https://up.example/v2'"},
	{about: "a server with a slash at the end", text: "server = 'https://up.example/'"},
	{about: "a server with slashes in the middle", text: "server = 'https://up.example/a//b/../c/'"},
	{about: "a path as it is", text: "server = 'https://up.example/api/x'\noverride_path = true"},
	{about: "no path as it is", text: "server = 'https://up.example'\noverride_path = true"},
	{about: "a slash as it is", text: "server = 'https://up.example/'\noverride_path = true"},
	{about: "a path as it is for the registry itself", text: "override_path = true"},
	{about: "an IPv6 server", text: "server = 'https://[::1]:5000'"},
	{about: "a server in capitals", text: "server = 'https://UP.example'"},
	{about: "an empty server", text: "server = ''"},
	{about: "one mirror", text: "[host.'https://mirror.example']"},
	{about: "a mirror without scheme", text: "[host.'mirror.example:5001']"},
	{about: "a mirror with a path", text: "[host.'https://mirror.example/v2/proxy']"},
	{about: "a mirror with a path as it is", text: "[host.'https://mirror.example/v2/proxy']\noverride_path = true"},
	{about: "mirrors in the order of the file", text: "[host.'https://c']\n[host.'https://a']\n[host.'https://b']"},
	{about: "a mirror and a server", text: "server = 'https://up.example'\n[host.'https://m']"},
	{about: "subtables between mirrors", text: "[host.b]\n[host.b.header]\nx = '1'\n[host.a]\n[host.a.header]\ny = '2'"},
	{about: "a mirror that is only a subtable", text: "[host.b.header]\nx = '1'"},
	{about: "a mirror in plain HTTP", text: "[host.'http://mirror.example:5000']"},
	{about: "capabilities of a mirror", text: "[host.m]\ncapabilities = ['pull', 'resolve']"},
	{about: "each capability", text: "[host.a]\ncapabilities = ['pull']\n[host.b]\ncapabilities = ['resolve']\n[host.c]\ncapabilities = ['push']\n[host.d]\ncapabilities = ['referrers']"},
	{about: "capabilities in capitals", text: "[host.m]\ncapabilities = ['PULL', 'Push']"},
	{about: "no capabilities", text: "[host.m]\ncapabilities = []"},
	{about: "capabilities of a server", text: "server = 'https://up.example'\ncapabilities = ['push']"},
	{about: "capabilities of the registry itself", text: "capabilities = ['pull']"},
	{about: "a CA", text: "ca = 'tls/ca.pem'"},
	{about: "several CAs", text: "ca = ['tls/ca.pem', 'tls/other.pem']"},
	{about: "a CA by its full path", text: "server = 'https://up.example'\nca = '%D/tls/ca.pem'"},
	{about: "a CA through the parent directory", text: "ca = '../%B/tls/ca.pem'"},
	{about: "an empty list of CAs", text: "ca = []"},
	{about: "a CA of a mirror alone", text: "server = 'https://up.example'\n[host.m]\nca = 'tls/ca.pem'"},
	{about: "a file with certificate and key", text: "client = 'tls/both.pem'"},
	{about: "files with certificate and key", text: "client = ['tls/both.pem', 'tls/both2.pem']"},
	{about: "a pair", text: "client = [['tls/alpha.pem', 'tls/alpha-key.pem']]"},
	{about: "pairs, not in the order of their names", text: "client = [['tls/beta.pem', 'tls/beta-key.pem'], ['tls/alpha.pem', 'tls/alpha-key.pem']]"},
	{about: "pairs and files", text: "client = [['tls/beta.pem', 'tls/beta-key.pem'], 'tls/both.pem']"},
	{about: "a pair by its full path", text: "client = [['%D/tls/alpha.pem', '%D/tls/alpha-key.pem']]"},
	{about: "a pair for each endpoint", text: "client = 'tls/both.pem'\n[host.m]\nclient = [['tls/beta.pem', 'tls/beta-key.pem']]"},
	{about: "an empty list of pairs", text: "client = []"},
	{about: "no verification", text: "server = 'https://up.example'\nskip_verify = true"},
	{about: "verification said explicitly", text: "skip_verify = false"},
	{about: "no verification of a mirror", text: "[host.m]\nskip_verify = true"},
	{about: "no verification, with a CA and a pair", text: "[host.m]\nskip_verify = true\nca = 'tls/ca.pem'\nclient = 'tls/both.pem'"},
	{about: "header fields", text: "[header]\nx-one = '1'\nX-Two = ['2', '3']"},
	{about: "header fields of a mirror", text: "[host.m.header]\nAuthorization = 'Basic eDp5'"},
	{about: "header fields of a server", text: "server = 'https://up.example'\n[header]\nx = '1'"},
	{about: "an empty header", text: "[host.m.header]"},
	{about: "a time to connect", text: "[host.m]\ndial_timeout = '30s'"},
	{about: "next to no time to connect", text: "[host.m]\ndial_timeout = '1ns'\n[host.n]"},
	{about: "an empty time to connect", text: "dial_timeout = ''"},
	{about: "an empty proxy", text: "[host.m]\nproxy = ''"},
	{about: "no proxy", text: "proxy = 'none'\n[host.m]\nproxy = 'none'"},
	{about: "plain HTTP without verification", text: "[host.'http://m:5000']\nskip_verify = true"},
	{about: "plain HTTP without verification at the default port", text: "[host.'http://m']\nskip_verify = true"},
	{about: "plain HTTP without verification at port 80", text: "[host.'http://m:80']\nskip_verify = true"},
	{about: "everything for one mirror", text: "[host.'https://m:1/x']\ncapabilities = ['pull']\nca = ['tls/ca.pem']\nclient = [['tls/alpha.pem', 'tls/alpha-key.pem']]\nskip_verify = true\noverride_path = true\n[host.'https://m:1/x'.header]\nx = '1'"},
	{about: "Docker's reference name", registry: "docker.io", text: "[host.'https://m']"},
	{about: "Docker's reference name with a server", registry: "docker.io", text: "server = 'https://registry-1.docker.io'"},
	{about: "a port that is the default", registry: "reg.example:443", text: "ca = 'tls/ca.pem'"},
	{about: "keys that containerd does not know", text: "registry_v1 = 'never'\nrotate_on = ['403']\nsystem_roots = 'append'"},
	{about: "Docker files alone", text: "", more: map[string][]byte{"ca.crt": ca.PEM, "a.cert": alpha.CertPEM, "a.key": alpha.KeyPEM, "b.cert": bothPEM(beta)}},

	// Where the two are meant to differ.
	{
		about: "a proxy of a mirror", text: "[host.m]\nproxy = 'http://jo:hush@proxy.example:3128'",
		differs: "containerd has no proxy in hosts.toml before its pull request 13359",
	},
	{
		about: "a proxy of the registry itself", text: "proxy = 'socks5://proxy.example'",
		differs: "containerd has no proxy in hosts.toml before its pull request 13359",
	},
	{
		about: "a proxy without scheme", text: "proxy = 'proxy.example:3128'",
		refused: `/hosts.toml:1: proxy: is not the URL of a proxy, such as "http://proxy.example:3128", and not "none"`,
	},
	{
		about: "Docker files beside a hosts.toml", text: "server = 'https://reg.example:5000'",
		more:    map[string][]byte{"ca.crt": ca.PEM, "a.cert": alpha.CertPEM, "a.key": alpha.KeyPEM},
		differs: "hosts.toml does not switch the directory's Docker files off",
	},
	{
		about: "a pair for a mirror that is the server as well", text: "server = 'https://up.example'\n[host.'https://up.example']\nclient = 'tls/both.pem'",
		differs: "what is given for a host serves every endpoint on it",
	},
	{
		about: "mirrors with subtables in turn", text: "[host.a]\n[host.b]\n[host.a.header]\nx = '1'",
		differs: "a mirror is asked once, where it is first named",
	},
	{
		about: "a mirror in dotted keys", text: "host.m.capabilities = ['pull']",
		differs: "a mirror counts however TOML is written",
	},
	{
		about: "mirrors in an inline table", text: "host = { m = { skip_verify = true } }",
		differs: "a mirror counts however TOML is written",
	},
	{
		about: "plain HTTP with a pair", text: "[host.'http://m:5000']\nclient = 'tls/both.pem'",
		differs: "where a certificate is configured there is no way back to plain HTTP",
	},
	{
		about: "a server whose name begins with http", text: "server = 'httpd.example'",
		differs: "a scheme ends with ://",
	},
	{
		about: "this machine", registry: "localhost:5000", text: "# nothing",
		differs: "a registry on this machine with a directory is verified like any other",
	},
	{
		about: "no time limit to connect", text: "[host.m]\ndial_timeout = '-1s'",
		refused: `/hosts.toml:2: host.m.dial_timeout: "-1s" is negative`,
	},
	{
		about: "an unknown key", text: "clients = 'x'\nserver = 'https://up.example'",
		refused: `/hosts.toml:1: clients: unknown key; did you mean "client"?`,
	},
	{
		about: "a known key in capitals", text: "Server = 'https://up.example'",
		refused: `/hosts.toml:1: Server: unknown key; did you mean "server"?`,
	},
	{
		about: "bad TOML", text: "server = 'https://up.example'\n[host.",
		refused: "/hosts.toml:2: invalid TOML: expected key but reached end of input",
	},
	{
		about: "a wrong type", text: "skip_verify = 'yes'",
		refused: "/hosts.toml:1: skip_verify: is a string, must be true or false",
	},
	{
		about: "an unknown capability", text: "[host.m]\ncapabilities = ['pulls']",
		refused: `/hosts.toml:2: host.m.capabilities: unknown capability "pulls"; did you mean "pull"?`,
	},
	{
		about: "a duration without unit", text: "dial_timeout = '5'",
		refused: `/hosts.toml:1: dial_timeout: "5" is not a duration such as "5s" or "500ms"`,
	},
	{
		about: "a password in an address", text: "server = 'https://user:secret@up.example'",
		refused: "/hosts.toml:1: server: a user or password is not allowed here",
	},
	{
		about: "a query in an address", text: "[host.'https://m?x=1']",
		refused: `/hosts.toml:1: host."https://m?x=1": a query or fragment is not allowed here`,
	},
	{
		about: "a line break in a header field", text: "[header]\nx = \"1\\n2\"",
		refused: "/hosts.toml:2: header.x: has a line break or a NUL byte in its value",
	},
}

var (
	ca    = certtest.NewCA("CA")
	other = certtest.NewCA("other")
	alpha = ca.Client("alpha")
	beta  = ca.Client("beta")
)

func bothPEM(pair *certtest.Pair) []byte {
	return append(append([]byte{}, pair.CertPEM...), pair.KeyPEM...)
}

// TestSameAsContainerd holds hosts.toml to what containerd makes of it, with
// system_roots = "append", which is containerd's way.
func TestSameAsContainerd(t *testing.T) {
	t.Parallel()
	// containerd logs what it passes over.
	log.L.Logger.SetOutput(io.Discard)
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range rows {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			if tt.registry == "" {
				tt.registry = "reg.example:5000"
			}
			root := t.TempDir()
			lay(t, filepath.Join(root, tt.registry), tt)
			theirs, theirErr := containerds(t, root, tt.registry, system)
			ours, ourErr := own(t, root, tt.registry, system)
			if tt.refused != "" {
				if want := "registry " + tt.registry + ": " + filepath.Join(root, tt.registry) + tt.refused; ourErr == nil || ourErr.Error() != want {
					t.Errorf("refused with %v\nwant %s", ourErr, want)
				}
				return
			}
			if theirErr != nil || ourErr != nil {
				t.Fatalf("containerd's error: %v, ours: %v", theirErr, ourErr)
			}
			diff := cmp.Diff(theirs, ours)
			if tt.differs == "" && diff != "" {
				t.Errorf("not the same (-containerd +ours):\n%s", diff)
			}
			if tt.differs != "" && diff == "" {
				t.Errorf("there is no difference any more: %s", tt.differs)
			}
		})
	}
}

// lay writes the directory of a row.
func lay(t *testing.T, dir string, tt row) {
	t.Helper()
	files := map[string][]byte{
		"tls/ca.pem": ca.PEM, "tls/other.pem": other.PEM,
		"tls/alpha.pem": alpha.CertPEM, "tls/alpha-key.pem": alpha.KeyPEM,
		"tls/beta.pem": beta.CertPEM, "tls/beta-key.pem": beta.KeyPEM,
		"tls/both.pem": bothPEM(alpha), "tls/both2.pem": bothPEM(beta),
		"hosts.toml": []byte(strings.NewReplacer("%D", dir, "%B", filepath.Base(dir)).Replace(tt.text)),
	}
	if err := os.MkdirAll(filepath.Join(dir, "tls"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, set := range []map[string][]byte{files, tt.more} {
		for name, data := range set {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// containerds is what containerd makes of the directory.
func containerds(t *testing.T, root, registry string, system *x509.CertPool) ([]compared, error) {
	t.Helper()
	hosts, err := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(root)})(registry)
	if err != nil {
		return nil, err
	}
	var all []compared
	for _, host := range hosts {
		c := compared{
			Scheme: host.Scheme, Host: host.Host, Path: apiRoot(host.Path),
			Capabilities: host.Capabilities, Header: fields(host.Header),
		}
		transport, plain := host.Client.Transport.(*http.Transport)
		if !plain {
			c.HTTPFallback = true
			all = append(all, c)
			continue
		}
		tls := transport.TLSClientConfig
		c.SkipVerify = tls.InsecureSkipVerify
		c.Roots = rootsName(t, tls.RootCAs, system)
		for _, cert := range tls.Certificates {
			c.Certificates = append(c.Certificates, certName(t, cert.Certificate))
		}
		c.DialExpires = expires(t, transport.DialContext)
		c.Proxy = proxyText(t, transport.Proxy)
		all = append(all, c)
	}
	return all, nil
}

// own is what this package makes of it.
func own(t *testing.T, root, registry string, system *x509.CertPool) ([]compared, error) {
	t.Helper()
	hosts := &hostdir.Hosts{Roots: hostdir.Roots{root}, SystemRoots: "append"}
	host, err := hosts.Lookup(registry)
	if err != nil {
		return nil, err
	}
	var all []compared
	for _, e := range host.Endpoints {
		c := compared{
			Scheme: e.Scheme, Host: e.Host, Path: apiRoot(e.Path),
			Capabilities: docker.HostCapabilities(e.Capabilities), Header: fields(e.Header),
			HTTPFallback: e.HTTPFallback,
		}
		if e.HTTPFallback {
			all = append(all, c)
			continue
		}
		c.SkipVerify = e.SkipVerify
		c.Roots = rootsName(t, e.RootCAs(), system)
		for _, id := range e.Identities {
			c.Certificates = append(c.Certificates, certName(t, id.Certificate.Certificate))
		}
		dialer := &net.Dialer{Timeout: e.DialTimeout}
		c.DialExpires = expires(t, dialer.DialContext)
		c.Proxy = proxyText(t, e.Proxy.For)
		all = append(all, c)
	}
	return all, nil
}

func proxyText(t *testing.T, proxy func(*http.Request) (*url.URL, error)) string {
	t.Helper()
	u, err := proxy(&http.Request{URL: &url.URL{Scheme: "https", Host: "127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if u == nil {
		return ""
	}
	return u.String()
}

// apiRoot is a path as containerd's resolver uses it: joined behind a slash.
func apiRoot(p string) string { return path.Join("/", p) }

// fields is a header without the difference between none and an empty one.
func fields(header http.Header) http.Header {
	if len(header) == 0 {
		return nil
	}
	return header
}

// rootsName names a pool.
func rootsName(t *testing.T, pool, system *x509.CertPool) string {
	t.Helper()
	for name, extra := range map[string][]*x509.Certificate{
		"system": nil, "system+CA": {ca.Cert}, "system+CA+other": {ca.Cert, other.Cert},
	} {
		want := system.Clone()
		for _, cert := range extra {
			want.AddCert(cert)
		}
		if pool == nil && name == "system" || pool != nil && pool.Equal(want) {
			return name
		}
	}
	t.Error("unknown roots")
	return "unknown"
}

func certName(t *testing.T, chain [][]byte) string {
	t.Helper()
	cert, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert.Subject.CommonName
}

// expires reports whether a connection attempt runs out of time at once.
func expires(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) bool {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of no duration
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := dial(ctx, "tcp", listener.Addr().String())
	if err == nil {
		conn.Close()
		return false
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatal(err)
	}
	return true
}
