package check

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// The authorities of the tests, and certificates issued once for all of them.
var (
	serverCA = certtest.NewCA("servers")
	clientCA = certtest.NewCA("clients")
	otherCA  = certtest.NewCA("others")

	alpha    = clientCA.Client("alpha")
	bravo    = clientCA.Client("bravo")
	charlie  = clientCA.Client("charlie")
	stranger = otherCA.Client("stranger")
)

// server is a registry behind TLS; the zero options let everybody in.
type server struct {
	auth       tls.ClientAuthType
	maxVersion uint16
	// pair is its certificate, one of serverCA's for 127.0.0.1 if nil.
	pair *certtest.Pair
	// plain speaks no TLS.
	plain bool
	// handle answers for a client, "" for none; nil is 200.
	handle func(w http.ResponseWriter, r *http.Request, client string)
}

// start returns the server's host:port.
func (s server) start(t *testing.T) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := ""
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		if s.handle != nil {
			s.handle(w, r, client)
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(srv.Close)
	if s.plain {
		srv.Start()
		return strings.TrimPrefix(srv.URL, "http://")
	}
	pair := s.pair
	if pair == nil {
		pair = serverCA.Server("127.0.0.1")
	}
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair.TLS}, ClientAuth: s.auth, ClientCAs: clientCA.Pool(), MaxVersion: s.maxVersion}
	if s.maxVersion != 0 && s.maxVersion < tls.VersionTLS12 {
		srv.TLS.MinVersion = s.maxVersion
	}
	srv.StartTLS()
	return strings.TrimPrefix(srv.URL, "https://")
}

// files are the content of a directory by name: a []byte or string, a
// *certtest.CA for NAME.crt, a *certtest.Pair for NAME.cert and NAME.key.
type files map[string]any

// write puts files into a directory. Keys have the permissions they should.
func write(t testing.TB, dir string, all files) {
	t.Helper()
	put := func(name string, data []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range all {
		switch content := content.(type) {
		case *certtest.CA:
			put(name+".crt", content.PEM)
		case *certtest.Pair:
			put(name+".cert", content.CertPEM)
			put(name+".key", content.KeyPEM)
		case []byte:
			put(name, content)
		case string:
			put(name, []byte(content))
		case nil:
			if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("%s: a %T", name, content)
		}
	}
}

// of is the directory's name for a host, in front of files.
func of(host string, all files) files {
	named := files{}
	for name, content := range all {
		named[filepath.Join(hostname.ToCreate(host), name)] = content
	}
	return named
}

// lines are findings and verdict as they are printed, in the words of a test:
// ROOT is the root, REG the registry and REG_ its directory's name, and so with
// the other names.
func lines(r *Registry, root string, names map[string]string) []string {
	replace := []string{root, "ROOT"}
	for name, host := range names {
		replace = append(replace, host, name, hostname.ToCreate(host), name+"_")
		if _, port, ok := strings.Cut(host, ":"); ok {
			replace = append(replace, ":"+port, ":PORT")
		}
	}
	short := strings.NewReplacer(replace...)
	var got []string
	for _, f := range r.Findings {
		if severities[f.Code] == isWarning && f.Severity == isError && f.Code != NoDirectory {
			got = append(got, "what severity.go has as a warning is an error:")
		}
		got = append(got, short.Replace(fmt.Sprintf("%s %s %s: %s%s", f.Severity, f.Code, f.Where, f.Message, arrow(f.Next))))
	}
	return append(got, short.Replace(string(r.Verdict)+": "+r.Reason))
}

// run1 checks one target below a root.
func run1(t *testing.T, c *Checker, root, target string) *Registry {
	t.Helper()
	c.Roots = certsd.Roots{root}
	r, err := c.Registry(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func compare(t *testing.T, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// pathNames are what stands for paths and names in the words of a test.
type pathNames struct{ first, second, reg string }

func replacer(first, second, reg string) pathNames { return pathNames{first, second, reg} }

func (n pathNames) paths(config string) string {
	return strings.NewReplacer("FIRST", n.first, "SECOND", n.second).Replace(config)
}

func (n pathNames) words(text string) string {
	return strings.NewReplacer(n.first, "FIRST", n.second, "SECOND", hostname.ToCreate(n.reg), "REG_", n.reg, "REG").Replace(text)
}

// listen makes a socket.
func listen(t *testing.T, path string) {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
}

// told tells which client asked.
func told(asked chan<- string) handler {
	return func(_ http.ResponseWriter, _ *http.Request, client string) { asked <- client }
}

func redirects(to string) handler {
	return func(w http.ResponseWriter, r *http.Request, _ string) { http.Redirect(w, r, to, http.StatusFound) }
}
