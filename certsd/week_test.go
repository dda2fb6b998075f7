package certsd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// pipeListener is a network in memory, which the simulated clock waits for.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.done)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestAWeekOfPullsWithPairsOfAnHour: none is lost, also where a request is under way
// when its pair ends.
func TestAWeekOfPullsWithPairsOfAnHour(t *testing.T) {
	root := newCertsDir(t)
	synctest.Test(t, func(t *testing.T) {
		year := certtest.Request{CommonName: "registry.test", Names: []string{"registry.test"}, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0)}
		clients, servers := certtest.NewLongCA("clients", year.NotAfter), certtest.NewLongCA("servers", year.NotAfter)
		dir := root.add(t, "registry.test")
		if err := servers.Write(dir, "ca"); err != nil {
			t.Fatal(err)
		}
		listener := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "first")
				if r.URL.Path == "/v2/long/blobs/1" {
					w.(http.Flusher).Flush() //nolint:errcheck // it is one
					time.Sleep(50 * time.Minute)
				}
				_, _ = io.WriteString(w, "second")
			}),
			ErrorLog: log.New(io.Discard, "", 0),
			TLSConfig: &tls.Config{
				Certificates: []tls.Certificate{servers.Issue(year).TLS},
				// A pipe has no buffer for tickets.
				SessionTicketsDisabled: true,
				ClientAuth:             tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool(),
			},
		}
		served := make(chan error, 1)
		go func() { served <- server.ServeTLS(listener, "", "") }()
		tr := &Transport{Hosts: &Hosts{Roots: Roots{string(root)}}, connect: listener.dial}

		var pulls atomic.Int64
		pull := func(path string) {
			n := pulls.Add(1)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.test"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatalf("pull %d: %v", n, err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || string(body) != "firstsecond" {
				t.Fatalf("pull %d: %d %q %v", n, resp.StatusCode, body, err)
			}
		}
		h := &hourly{t: t, ca: clients, dir: dir}
		h.renew(func() {})
		const life = time.Hour
		end := time.Now().Add(7 * 24 * time.Hour)
		long := make(chan struct{})
		for cycle := 0; time.Now().Before(end); cycle++ {
			if cycle%48 == 10 {
				go func() {
					pull("/v2/long/blobs/1") // across the end of the pair
					long <- struct{}{}
				}()
			}
			for range 2 {
				time.Sleep(life / 4)
				pull("/v2/app/manifests/1")
			}
			h.renew(func() { pull("/v2/app/manifests/half") })
			if cycle%48 == 12 {
				<-long
			}
		}
		if n := pulls.Load(); n < 7*24*2*3 {
			t.Errorf("%d pulls in a week", n)
		}
		if h.n < 7*24*2 {
			t.Errorf("%d pairs in a week", h.n)
		}
		tr.CloseIdleConnections()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	})
}
