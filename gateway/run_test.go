package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	clog "github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what is logged

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/daemon"
)

// running is a gateway as Run serves it.
type running struct {
	config  *Config
	address string
	log     *syncBuffer
	stop    func() error
}

// run starts a gateway and stops it with the test.
func run(t *testing.T, change func(*Config)) *running {
	t.Helper()
	c := DefaultConfig()
	c.Root, c.State, c.Listen = t.TempDir(), t.TempDir(), []string{"127.0.0.1:0"}
	if change != nil {
		change(c)
	}
	r := &running{config: c, log: &syncBuffer{}}
	logger := logrus.New()
	logger.SetOutput(r.log)
	logger.SetFormatter(&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true})
	ctx, cancel := context.WithCancel(clog.WithLogger(t.Context(), logrus.NewEntry(logger)))
	ready, ended := make(chan []net.Addr, 1), make(chan error, 1)
	go func() { ended <- c.Run(ctx, nil, func(a []net.Addr) { ready <- a }) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { must(t, r.stop()) })
	select {
	case addresses := <-ready:
		r.address = addresses[0].String()
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return r
}

// syncBuffer is written by one and read by another goroutine.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// String returns what was written.
func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// get asks with a client of its own.
func (r *running) get(t *testing.T, transport *http.Transport, url, secret string) (int, string, error) {
	t.Helper()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	req.Header.Set(tokenHeader, secret)
	req.Header.Set("User-Agent", `evil" status=200`)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (r *running) secret(t *testing.T) string {
	t.Helper()
	s, err := (&sharedSecret{Dir: r.config.State}).Value()
	must(t, err)
	return s
}

func TestRunOnLoopback(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	if status, body, err := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", r.secret(t)); status != http.StatusOK || err != nil {
		t.Errorf("got %d %s %v", status, body, err)
	}
	must(t, r.stop())
	if _, err := net.Dial("tcp", r.address); err == nil { //nolint:noctx // nobody listens
		t.Error("it listens after the end")
	}
}

func TestHeaderOfARequestIsBounded(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	// The connection is closed with most of the header unread, which may cut
	// the text of the answer.
	status, _, err := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", strings.Repeat("x", 4*maxHeader))
	if status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d %v", status, err)
	}
	if status, _, err := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", r.secret(t)); status != http.StatusOK || err != nil {
		t.Errorf("afterwards %d %v", status, err)
	}
}

// A client that never ends its header is left after headerTimeout, and keeps
// nobody else waiting.
func TestClientThatNeverEndsItsHeader(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address)
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	must(t, err)
	if status, _, err := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", r.secret(t)); status != http.StatusOK || err != nil {
		t.Errorf("meanwhile %d %v", status, err)
	}
	must(t, conn.SetReadDeadline(time.Now().Add(3*headerTimeout)))
	if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it is still waited for")
	}
}

func TestRunOnUnixSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	left, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	must(t, err)
	left.(*net.UnixListener).SetUnlinkOnClose(false) //nolint:errcheck,forcetypeassert // it is one
	must(t, left.Close())
	r := run(t, func(c *Config) { c.Listen = []string{"unix:" + socket} })
	info, err := os.Stat(socket)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	if status, body, err := r.get(t, &http.Transport{DialContext: dial}, "http://whatever/v2/", r.secret(t)); status != http.StatusOK || err != nil {
		t.Errorf("got %d %s %v", status, body, err)
	}
	if _, err := daemon.ListenUnix(t.Context(), socket); err == nil || err.Error() != socket+": another process listens there" {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o600))
	if _, err := daemon.ListenUnix(t.Context(), file); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

func TestAddressesOfOthersNeedTLSOrAWord(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:1": false, ":1": false, "[::]:1": false, "192.0.2.1:1": false, "registry.example:1": false, "": false,
	} {
		c := DefaultConfig()
		if err := c.sockets().mayListen("tcp", address, false); (err == nil) != want {
			t.Errorf("%q: %v", address, err)
		}
		if err := c.sockets().mayListen("tcp", address, true); err != nil {
			t.Errorf("%q with TLS: %v", address, err)
		}
		c.AllowRemote = true
		if err := c.sockets().mayListen("tcp", address, false); err != nil {
			t.Errorf("%q allowed: %v", address, err)
		}
	}
}

func TestRunWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	servers, clients, others := certtest.NewCA("servers"), certtest.NewCA("clients"), certtest.NewCA("others")
	must(t, servers.Server("127.0.0.1").Write(dir, "tls"))
	must(t, clients.Write(dir, "clients"))
	r := run(t, func(c *Config) {
		c.TLSCert, c.TLSKey, c.TLSClientCA = filepath.Join(dir, "tls.cert"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "clients.crt")
	})
	roots := servers.Pool()
	get := func(pair *certtest.Pair, secret string) (int, error) {
		config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		if pair != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair.TLS, nil }
		}
		status, _, err := r.get(t, &http.Transport{TLSClientConfig: config}, "https://"+r.address+"/v2/", secret)
		return status, err
	}
	for name, tt := range map[string]struct {
		pair   *certtest.Pair
		secret string
		status int
	}{
		"certificate": {clients.Client("node"), "", 200},
		"secret":      {nil, r.secret(t), 200},
		"nothing":     {nil, "", 401},
		"wrong":       {nil, "wrong", 401},
		"other CA":    {others.Client("node"), r.secret(t), 0},
		"expired":     {clients.Issue(certtest.Request{CommonName: "node", NotAfter: time.Now().Add(-time.Minute)}), "", 0},
	} {
		if status, err := get(tt.pair, tt.secret); status != tt.status || (err != nil) != (tt.status == 0) {
			t.Errorf("%s: %d %v", name, status, err)
		}
	}

	// Another certificate is used from the next connection on, half of one is not.
	renewed := certtest.NewCA("renewed")
	pair := renewed.Server("127.0.0.1")
	must(t, os.WriteFile(filepath.Join(dir, "tls.cert"), pair.CertPEM, 0o600))
	if status, err := get(nil, r.secret(t)); status != 200 {
		t.Errorf("half written: %d %v", status, err)
	}
	must(t, pair.Write(dir, "tls"))
	roots = renewed.Pool()
	if status, err := get(nil, r.secret(t)); status != 200 {
		t.Errorf("renewed: %d %v", status, err)
	}
	// So is another CA, and on connections that are open.
	kept := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{clients.Client("node").TLS}}}
	defer kept.CloseIdleConnections()
	ask := func(want int) {
		t.Helper()
		var conn httptrace.GotConnInfo
		trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { conn = info }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "https://"+r.address+"/v2/", nil)
		must(t, err)
		resp, err := kept.RoundTrip(req)
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		if must(t, errors.Join(err, resp.Body.Close())); resp.StatusCode != want || conn.Reused != (want != 200) {
			t.Errorf("on a connection that is kept (%t): %d, want %d", conn.Reused, resp.StatusCode, want)
		}
	}
	ask(200)
	must(t, others.Write(dir, "clients"))
	ask(401)
	if status, err := get(clients.Client("node"), ""); status != 0 {
		t.Errorf("a client of a CA that is gone: %d %v", status, err)
	}
	if got := strings.Count(r.log.String(), "a changed certificate cannot be used"); got != 1 {
		t.Errorf("%d warnings:\n%s", got, r.log)
	}
}

func TestTLSMistakesAreFoundAtTheStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, certtest.NewCA("servers").Server("127.0.0.1").Write(dir, "tls"))
	cert, key := filepath.Join(dir, "tls.cert"), filepath.Join(dir, "tls.key")
	no := dir + "/no: no such file or directory"
	for want, c := range map[string]*Config{
		"tls_cert and tls_key must be given together":                        {TLSCert: cert},
		"tls_client_ca: " + key + ": has no certificate, only a private key": {TLSCert: cert, TLSKey: key, TLSClientCA: key},
		"tls_client_ca: open " + no:                                          {TLSCert: cert, TLSKey: key, TLSClientCA: dir + "/no"},
		"tls_cert: open " + no:                                               {TLSCert: dir + "/no", TLSKey: dir + "/no"},
		"tls_key: open " + no:                                                {TLSCert: cert, TLSKey: dir + "/no"},
		"tls_cert " + cert + " and tls_key " + cert + ": the key file has no private key, only a certificate": {TLSCert: cert, TLSKey: cert},
	} {
		checked := DefaultConfig()
		checked.TLSCert, checked.TLSKey, checked.TLSClientCA = c.TLSCert, c.TLSKey, c.TLSClientCA
		if err := checked.Check(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := readCertificates(t.Context(), c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *Config) { c.Upstreams = []string{"registry.example"} })
	url := "http://" + r.address
	secret := r.secret(t)
	for _, path := range []string{"/v2/", "/v2/app/manifests/%0a1?ns=registry.example%0aforged&token=hidden", "/healthz"} {
		_, _, err := r.get(t, &http.Transport{}, url+path, secret)
		must(t, err)
	}
	for range 50 {
		_, _, err := r.get(t, &http.Transport{}, url+"/v2/", secret+"x")
		must(t, err)
	}
	must(t, r.stop())
	lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
	var requests []string
	for _, line := range lines {
		if strings.Contains(line, "certsd gateway: request") {
			requests = append(requests, line)
		}
		if strings.Contains(line, secret) || strings.Contains(line, "hidden") || strings.HasPrefix(line, "forged") || strings.HasPrefix(line, "agent") {
			t.Errorf("a line is wrong: %s", line)
		}
	}
	if len(requests) != 3 || !strings.Contains(requests[1], `ns="registry.example\nforged"`) || !strings.Contains(requests[1], `path="/v2/app/manifests/\n1" reason="\"\\n1\" is not a tag" status=404`) ||
		!strings.Contains(requests[2], "status=401") {
		t.Errorf("got %d requests:\n%s", len(requests), r.log)
	}
}

// What a client is answered is what the log says.
func TestAccessLogHasTheStatus(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "app:1", 1)
	layer, _ := layerOf(t, img)
	r := run(t, func(c *Config) { u.dir(t, c.Root) })
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var want []string
	for _, path := range []string{"/v2/", "/v2/app/manifests/1", "/v2/app/manifests/2", "/v2/app/blobs/" + layer, "/v2/app/tags/list"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.address+path+"?ns="+u.host, nil)
			must(t, err)
			req.Header.Set(tokenHeader, r.secret(t))
			resp, err := transport.RoundTrip(req)
			must(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			must(t, errors.Join(err, resp.Body.Close()))
			want = append(want, fmt.Sprintf("%s %d", method, resp.StatusCode))
		}
	}
	must(t, r.stop())
	var got []string
	for _, m := range regexp.MustCompile(`method=(\w+) .*status=(\d+)`).FindAllStringSubmatch(r.log.String(), -1) {
		got = append(got, m[1]+" "+m[2])
		// A failed request has its reason, also where it was a HEAD, which is answered without one.
		if failed := m[2] >= "400"; failed != strings.Contains(m[0], " reason=\"") {
			t.Errorf("a line with a reason, or without one: %s", m[0])
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestRootWithoutRegistriesIsTold(t *testing.T) {
	t.Parallel()
	const warning = `level=warning msg="certsd gateway: there is no registry to ask" root=/no/certs.d`
	for name, test := range map[string]struct {
		change func(*Config)
		want   int
	}{
		"nothing":      {func(*Config) {}, 1},
		"one upstream": {func(c *Config) { c.Upstreams = []string{"registry.example"} }, 0},
		"one directory": {func(c *Config) {
			c.Root = t.TempDir()
			must(t, os.Mkdir(filepath.Join(c.Root, "registry.example"), 0o755))
		}, 0},
	} {
		r := run(t, func(c *Config) { c.Root = "/no/certs.d"; test.change(c) })
		must(t, r.stop())
		if got := strings.Count(r.log.String(), warning); got != test.want || strings.Count(r.log.String(), "level=warning") != test.want {
			t.Errorf("%s:\n%s", name, r.log)
		}
	}
}

// pipeListener accepts what is sent to it.
type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l pipeListener) Close() error { close(l); return nil }

func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestConnectionsAreBounded has pipes in the place of the system's connections:
// where everything waits, nothing more will be accepted.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := DefaultConfig()
		c.Listen, c.MaxConnections = []string{"127.0.0.1:0"}, 2
		listeners, err := c.sockets().listen(t.Context(), nil)
		must(t, err)
		bounded := listeners[0].(*boundedListener) //nolint:errcheck,forcetypeassert // it is one
		must(t, bounded.Listener.Close())
		pipes := make(pipeListener)
		bounded.Listener = pipes
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: headerTimeout}
		go func() { _ = server.Serve(bounded) }()
		defer server.Close()

		var answered atomic.Int32
		ask := func() net.Conn {
			client, other := net.Pipe()
			go func() {
				pipes <- other
				if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
					return
				}
				resp, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					return
				}
				_ = resp.Body.Close()
				answered.Add(1)
			}()
			synctest.Wait()
			return client
		}
		first := ask()
		for range 2 {
			defer ask().Close()
		}
		if n := answered.Load(); n != 2 {
			t.Errorf("%d of three clients were answered, want 2", n)
		}
		must(t, first.Close())
		synctest.Wait()
		if n := answered.Load(); n != 3 {
			t.Errorf("%d were answered when one had gone, want 3", n)
		}
	})
}

func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	r := run(t, nil)
	must(t, r.stop())
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		buf := make([]byte, 100)
		n, err := l.Read(buf)
		if must(t, err); string(buf[:n]) != want {
			t.Errorf("got %q, want %s", buf[:n], want)
		}
	}
}

func TestSecretIsRotatedWithoutAnInterruption(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	old := r.secret(t)
	must(t, r.config.RotateSecret())
	current := r.secret(t)
	if old == current || len(current) != 43 {
		t.Errorf("%q became %q", old, current)
	}
	for secret, want := range map[string]int{old: 200, current: 200, "": 401} {
		if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", secret); status != want {
			t.Errorf("%q: %d", secret, status)
		}
	}
	// The time of the old one is over.
	then := time.Now().Add(-2 * time.Hour)
	must(t, os.Chtimes(filepath.Join(r.config.State, oldSecretFile), then, then))
	for secret, want := range map[string]int{old: 401, current: 200} {
		if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", secret); status != want {
			t.Errorf("later, %q: %d", secret, status)
		}
	}
	// A file that is cut leaves the last good one.
	must(t, os.WriteFile(filepath.Join(r.config.State, secretFile), nil, 0o600))
	if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", current); status != 200 {
		t.Errorf("after a cut: %d", status)
	}
}

func TestSecretThatCannotBeReadIsTold(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	file := filepath.Join(r.config.State, secretFile)
	first := r.secret(t)
	// Nobody has asked for anything yet.
	must(t, os.WriteFile(file, []byte("another secret, long enough"), 0o600))
	must(t, os.Chmod(file, 0o644))
	for secret, want := range map[string]int{first: 200, "another secret, long enough": 401} {
		for range 3 {
			if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", secret); status != want {
				t.Errorf("%q: %d", secret, status)
			}
		}
	}
	const message, cause = "a changed secret cannot be used, what was read last stays in use", "can be read by users other than its owner: chmod 600 it"
	if got := r.log.String(); strings.Count(got, message) != 1 || !strings.Contains(got, cause) {
		t.Errorf("the log has\n%s", got)
	}
	must(t, os.Chmod(file, 0o600))
	if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", "another secret, long enough"); status != 200 {
		t.Errorf("mended: %d", status)
	}
	must(t, os.Remove(file))
	for range 2 {
		if status, _, _ := r.get(t, &http.Transport{}, "http://"+r.address+"/v2/", "another secret, long enough"); status != 200 {
			t.Errorf("removed: %d", status)
		}
	}
	if got := r.log.String(); strings.Count(got, message) != 2 {
		t.Errorf("the log has\n%s", got)
	}
}

func TestRotatedSecretKeepsItsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	dir := t.TempDir()
	s, err := ownSecret(dir)
	must(t, err)
	must(t, os.Chown(filepath.Join(dir, secretFile), 4242, 4243))
	must(t, s.Rotate())
	must(t, s.Rotate())
	for _, name := range []string{secretFile, oldSecretFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok || owner.Uid != 4242 || owner.Gid != 4243 || info.Mode() != 0o600 {
			t.Errorf("%s: %v of %+v", name, info.Mode(), owner)
		}
	}
}

// download makes a request with the secret, on a connection of its own.
func (r *running) download(t *testing.T, path string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.address+path, nil)
	must(t, err)
	req.Header.Set(tokenHeader, r.secret(t))
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return transport.RoundTrip(req)
}

func TestStopLetsBlobsFinish(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	more := b.pause()
	u := newUpstream(t, b)
	r := run(t, func(c *Config) { u.dir(t, c.Root) })
	resp, err := r.download(t, b.path(u))
	must(t, err)
	defer resp.Body.Close()
	head := make([]byte, 1000)
	_, err = io.ReadFull(resp.Body, head)
	must(t, err)
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	// It stops listening first.
	for {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address)
		if err != nil {
			break
		}
		must(t, c.Close())
	}
	close(more)
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(head, rest...), b.content) {
		t.Errorf("%d bytes, %v", len(head)+len(rest), err)
	}
	must(t, <-stopped)
}

func TestStopDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		b.half(w)
		<-r.Context().Done()
	}
	u := newUpstream(t, b)
	r := run(t, func(c *Config) { u.dir(t, c.Root); c.StopTimeout = Duration(50 * time.Millisecond) })
	resp, err := r.download(t, b.path(u))
	must(t, err)
	defer resp.Body.Close()
	must(t, r.stop())
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes came whole", len(body))
	}
}
