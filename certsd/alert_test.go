package certsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/handshake"
)

// remote is how crypto/tls reports an alert of the server.
func remote(number uint8) error {
	return fmt.Errorf("wrapped: %w", &net.OpError{Op: "remote error", Err: tls.AlertError(number)})
}

func TestMovesOnErrors(t *testing.T) {
	t.Parallel()
	asked := reply{asked: true, fresh: true, method: http.MethodGet}
	post := asked
	post.method = http.MethodPost
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for name, row := range map[string]struct {
		reply reply
		err   error
		want  string
	}{
		"handshake failure":                     {asked, remote(40), "alert 40"},
		"handshake failure, server did not ask": {reply{fresh: true}, remote(40), ""},
		"bad certificate":                       {asked, remote(42), "alert 42"},
		"unsupported certificate":               {asked, remote(43), "alert 43"},
		"revoked":                               {asked, remote(44), "alert 44"},
		"expired":                               {asked, remote(45), "alert 45"},
		"unknown certificate":                   {asked, remote(46), "alert 46"},
		"illegal parameter":                     {asked, remote(47), ""},
		"unknown authority":                     {asked, remote(48), "alert 48"},
		"access denied":                         {asked, remote(49), "alert 49"},
		"decrypt error":                         {asked, remote(51), ""},
		"protocol version":                      {asked, remote(70), ""},
		"internal error":                        {asked, remote(80), ""},
		"unrecognized name":                     {asked, remote(112), ""},
		"certificate required":                  {asked, remote(116), "alert 116"},
		"an alert after POST":                   {post, remote(42), "alert 42"},
		"an alert of our own":                   {asked, &net.OpError{Op: "local error", Err: tls.AlertError(42)}, ""},
		"an alert of a proxy":                   {asked, &net.OpError{Op: "proxyconnect", Err: remote(42)}, ""},
		"cut":                                   {asked, io.EOF, "connection cut"},
		"cut in a record":                       {asked, io.ErrUnexpectedEOF, "connection cut"},
		"reset":                                 {asked, reset, "connection cut"},
		"closed before an answer, as net/http says it": {asked, errors.New("http: server closed idle connection"), "connection cut"},
		"cut after POST":                 {post, io.EOF, ""},
		"cut, server did not ask":        {reply{fresh: true}, io.EOF, ""},
		"cut on a used connection":       {reply{asked: true}, io.EOF, ""},
		"cut in the middle of an answer": {reply{asked: true, fresh: true, answered: true}, io.EOF, ""},
		"timeout":                        {asked, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, ""},
		"dial":                           {asked, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ""},
		"name":                           {asked, &net.DNSError{Err: "no such host"}, ""},
		"handshake timeout":              {asked, handshake.ErrTimeout, ""},
		"key of another type":            {asked, fmt.Errorf("x: %w", &unusableError{io.EOF}), "key type not accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := row.reply
			o.err = row.err
			if got := moves(RotateOn{}, o); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestRotationOnRefusedHandshakes(t *testing.T) {
	t.Parallel()
	no := func(client string) error {
		if client != "b" {
			return errors.New("refused")
		}
		return nil
	}
	for name, row := range map[string]struct {
		options serverOptions
		clients []string // in the directory
		// want are the clients of the handshakes, requested those of requests.
		want, requested []string
	}{
		"bad certificate, TLS 1.2": {
			serverOptions{auth: tls.RequireAnyClientCert, maxVersion: tls.VersionTLS12, refuse: no},
			[]string{"a", "b"},
			[]string{"a", "b"},
			[]string{"b"},
		},
		"bad certificate, TLS 1.3": {
			serverOptions{auth: tls.RequireAnyClientCert, refuse: no},
			[]string{"a", "b"},
			[]string{"a", "b"},
			[]string{"b"},
		},
		"stranger's certificate, TLS 1.2": {
			serverOptions{auth: tls.RequireAndVerifyClientCert, maxVersion: tls.VersionTLS12},
			[]string{"0-stranger", "b"},
			[]string{"b"},
			[]string{"b"},
		},
		"stranger's certificate, TLS 1.3": {
			serverOptions{auth: tls.RequireAndVerifyClientCert},
			[]string{"0-stranger", "b"},
			[]string{"b"},
			[]string{"b"},
		},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+", "+method, func(t *testing.T) {
				t.Parallel()
				s := newTLSServer(t, row.options)
				dir := newCertsDir(t)
				path := dir.add(t, s.host)
				for _, client := range row.clients {
					pair := pairOf(client)
					if strings.Contains(client, "stranger") {
						pair = serverCA.Client(client)
					}
					if err := pair.Write(path, client); err != nil {
						t.Fatal(err)
					}
				}
				body := ""
				if method == "POST" {
					body = "hello"
				}
				status, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, method, s.URL+"/v2/", body))
				if err != nil || status != 200 {
					t.Fatalf("status %d, error %v", status, err)
				}
				if diff := cmp.Diff(row.want, s.handshakes); diff != "" {
					t.Errorf("handshakes (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(row.requested, s.clients()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// Servers that do not like a certificate may just hang up: during the
// handshake, or after it.
func TestRotationOnCutConnections(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, reset := range []bool{false, true} {
			for method, want := range map[string]string{"GET": "b", "HEAD": "b", "POST": ""} {
				name := fmt.Sprintf("%s, %s, reset %t", tls.VersionName(version), method, reset)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := newTLSServer(t, serverOptions{auth: tls.RequireAnyClientCert, maxVersion: version, tls: func(c *tls.Config) {
						base := c.Clone()
						c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
							own := base.Clone()
							own.VerifyConnection = func(state tls.ConnectionState) error {
								if state.PeerCertificates[0].Subject.CommonName == "a" {
									if tcp, ok := hello.Conn.(*net.TCPConn); ok && reset {
										_ = tcp.SetLinger(0)
									}
									_ = hello.Conn.Close()
								}
								return nil
							}
							return own, nil
						}
					}})
					dir := newCertsDir(t)
					dir.add(t, s.host, "a", "b")
					_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, method, s.URL+"/v2/", ""))
					var refused *RefusedError
					if want == "" && !errors.As(err, &refused) {
						t.Errorf("%s: error %v (%v), want a RefusedError", method, err, refused)
					} else if want != "" && err != nil {
						t.Error(err)
					}
					for _, client := range s.clients() {
						if client != want {
							t.Errorf("a request of %q", client)
						}
					}
				})
			}
		}
	}
}

// A server that sends an alert as its first word did not look at a certificate
// yet; some load balancers do so for a name they refuse.
func TestHandshakeFailureBeforeCertificateIsFinal(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan int)
	go func() {
		n := 0
		defer func() { accepted <- n }()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n++
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
			_ = c.Close()
		}
	}()
	dir := newCertsDir(t)
	dir.add(t, l.Addr().String(), "a", "b")
	_, err = send(t, view(t, dir.transport(t), l.Addr().String(), nil),
		newRequest(t.Context(), t, "GET", "https://"+l.Addr().String()+"/v2/", ""))
	if alert, ok := handshake.Alert(err); !ok || alert != handshake.Failure {
		t.Errorf("got %v", err)
	}
	_ = l.Close()
	if n := <-accepted; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestServerAlert(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequireAnyClientCert})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	_, err := send(t, dir.transport(t), newRequest(t.Context(), t, "GET", s.URL+"/v2/", ""))
	if alert, ok := handshake.Alert(err); !ok || alert != 116 {
		t.Errorf("alert %d, %v of %v", alert, ok, err)
	}
	if _, ok := handshake.Alert(errors.New("remote error: tls: certificate required")); ok {
		t.Error("any text is an alert")
	}
}
