package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestEveryFailureHasItsReason: the line about a request that failed says why, in
// the words that the client of a GET was told, for each kind of failure, and for
// HEAD, whose client is told nothing.
func TestEveryFailureHasItsReason(t *testing.T) {
	t.Parallel()
	said := func(status int, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			return true
		}
	}
	for name, tt := range map[string]struct {
		// spoil changes the directory of the registry, dir, below the root.
		spoil  func(t *testing.T, root, dir string)
		answer func(http.ResponseWriter, *http.Request) bool
		path   string // below /v2/; an image's manifest if empty
		ns     string // the registry if empty
		open   bool   // with no secret
		status int
		reason string
	}{
		"403":                       {answer: said(403), status: 403, reason: `^REG/app:1: .*403 Forbidden`},
		"401":                       {answer: said(401, "WWW-Authenticate", `Basic realm="x"`), status: 403, reason: `401 Unauthorized`},
		"401 without a challenge":   {answer: said(401), status: 403, reason: `401 Unauthorized`},
		"404":                       {answer: said(404), status: 404, reason: `^REG/app:1: .*404 Not Found`},
		"429":                       {answer: said(429), status: 503, reason: `429 Too Many Requests`},
		"502":                       {answer: said(502), status: 502, reason: `502 Bad Gateway`},
		"a blob that is not there":  {answer: said(404), path: "app/blobs/" + someDigest, status: 404, reason: `REG.*404 Not Found`},
		"tags that are refused":     {answer: said(403), path: "app/tags/list", status: 403, reason: `403 Forbidden`},
		"referrers that are denied": {answer: said(403), path: "app/referrers/" + someDigest, status: 403, reason: `403 Forbidden`},
		"another CA": {
			spoil:  func(t *testing.T, _, dir string) { t.Helper(); must(t, certtest.NewCA("other").Write(dir, "ca")) },
			status: 502, reason: `REG: cannot verify the server: `,
		},
		"nobody there": {
			spoil: func(t *testing.T, root, dir string) {
				t.Helper()
				must(t, os.Rename(dir, filepath.Join(root, "127.0.0.1:1")))
			},
			ns: "127.0.0.1:1", status: 502, reason: `127.0.0.1:1: .*connection refused`,
		},
		"a name that nobody knows": {
			spoil: func(t *testing.T, root, dir string) {
				t.Helper()
				must(t, os.Rename(dir, filepath.Join(root, "none.invalid")))
			},
			ns: "none.invalid", status: 502, reason: `lookup none.invalid`,
		},
		"a broken directory": {
			spoil: func(t *testing.T, _, dir string) {
				t.Helper()
				must(t, os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("sever = 1\n"), 0o600))
			},
			status: 500, reason: `hosts.toml:1: .*did you mean`,
		},
		"a registry without a directory": {ns: "other.test", status: 403, reason: `other.test`},
		"a path that nobody serves":      {path: "app/uploads", status: 404, reason: `the gateway serves manifests, blobs`},
		"a name that is none":            {path: "App/manifests/1", status: 400, reason: `App`},
		"no secret":                      {open: true, status: 401, reason: `.`},
		"a page":                         {answer: welcome, status: 502, reason: `not a manifest`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t, nil)
			u.everybody = true
			u.answers(tt.answer)
			r := run(t, func(c *Config) {
				u.dir(t, c.Root)
				if tt.spoil != nil {
					tt.spoil(t, c.Root, filepath.Join(c.Root, u.host))
				}
			})
			path, ns := tt.path, tt.ns
			if path == "" {
				path = "app/manifests/1"
			}
			if ns == "" {
				ns = u.host
			}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+"/v2/"+path+"?ns="+ns, nil)
				must(t, err)
				if !tt.open {
					req.Header.Set(tokenHeader, r.secret(t))
				}
				transport := &http.Transport{}
				resp, err := transport.RoundTrip(req)
				must(t, err)
				body, err := io.ReadAll(resp.Body)
				must(t, err)
				must(t, resp.Body.Close())
				transport.CloseIdleConnections()
				if resp.StatusCode != tt.status {
					t.Errorf("%s: %d %s", method, resp.StatusCode, body)
				}
			}
			must(t, r.stop())
			want := regexp.MustCompile("(?s)" + strings.ReplaceAll(tt.reason, "REG", u.host))
			found := map[string]string{}
			for _, m := range regexp.MustCompile(`msg="certsd gateway: request".* method=(\w+) .*?reason=("(?:\\.|[^"])*"|\S+) status=(\d+)`).FindAllStringSubmatch(r.log.String(), -1) {
				reason := m[2]
				if s, err := strconv.Unquote(reason); err == nil {
					reason = s
				}
				found[m[1]] = reason
			}
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				if tt.open && method == http.MethodHead {
					continue // the second of many is counted, not told
				}
				if !want.MatchString(found[method]) {
					t.Errorf("%s: the reason is %q, want %s:\n%s", method, found[method], want, r.log)
				}
			}
		})
	}
}

// welcome answers with something for people.
func welcome(w http.ResponseWriter, _ *http.Request) bool {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html>Welcome")
	return true
}

// A handshake that the server refuses has its reason, too.
func TestRefusedHandshakesHaveTheirReason(t *testing.T) {
	t.Parallel()
	servers, clients := certtest.NewCA("servers"), certtest.NewCA("clients")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{servers.Server("127.0.0.1").TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool()}
	srv := &http.Server{Handler: http.NotFoundHandler(), TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
	host := l.Addr().String()
	r := run(t, func(c *Config) {
		dir := filepath.Join(c.Root, host)
		must(t, os.MkdirAll(dir, 0o755))
		must(t, servers.Write(dir, "ca"))
		must(t, certtest.NewCA("others").Client("alpha").Write(dir, "alpha"))
	})
	status, body, err := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/app/manifests/1?ns="+host, r.secret(t))
	must(t, err)
	must(t, r.stop())
	line := regexp.MustCompile(`(?m)^.*msg="certsd gateway: request".* reason=".*alpha\.cert: it is issued by .*$`).FindString(r.log.String())
	if status != http.StatusBadGateway || !strings.Contains(body, host) || line == "" {
		t.Errorf("%d %s\n%s", status, body, r.log)
	}
}
