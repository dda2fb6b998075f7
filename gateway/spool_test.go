package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// blobServer serves one blob as a test wants it to, and counts.
type blobServer struct {
	content []byte
	digest  digest.Digest
	handler http.HandlerFunc

	// mu guards gets.
	mu   sync.Mutex
	gets []string // the Range of each GET
}

func newBlobServer(size int) *blobServer {
	content := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	return &blobServer{content: content, digest: digest.FromBytes(content)}
}

// ServeHTTP implements http.Handler.
func (b *blobServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/blobs/") {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodGet {
		b.mu.Lock()
		b.gets = append(b.gets, r.Header.Get("Range"))
		b.mu.Unlock()
	}
	b.handler(w, r)
}

func (b *blobServer) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gets
}

func (b *blobServer) path(u *upstream) string {
	return "/v2/app/blobs/" + b.digest.String() + "?ns=" + u.host
}

// whole serves the content, or the range of it that is asked for.
func (b *blobServer) whole(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", zeroTime, bytes.NewReader(b.content))
}

// half sends the header and half of the content.
func (b *blobServer) half(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
	_, _ = w.Write(b.content[:len(b.content)/2])
	_ = http.NewResponseController(w).Flush()
}

// pause has the server send half of the content, and the rest when the channel is
// closed.
func (b *blobServer) pause() (more chan struct{}) {
	more = make(chan struct{})
	b.handler = func(w http.ResponseWriter, _ *http.Request) {
		b.half(w)
		<-more
		_, _ = w.Write(b.content[len(b.content)/2:])
	}
	return more
}

func TestClientsShareADownload(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	more := b.pause()
	u := newUpstream(t, b)
	g := newGateway(t, nil, u)
	const clients = 8
	var begun, wait sync.WaitGroup
	begun.Add(clients)
	for range clients {
		wait.Go(func() {
			resp := g.open(t, b.path(u))
			defer resp.Body.Close()
			head := make([]byte, 1000)
			if _, err := io.ReadFull(resp.Body, head); err != nil {
				t.Error(err)
			}
			begun.Done()
			rest, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(append(head, rest...), b.content) {
				t.Errorf("%d bytes, %v", len(head)+len(rest), err)
			}
		})
	}
	begun.Wait()
	// A range is taken from the download, too.
	if a := g.do(t, http.MethodGet, b.path(u), "Range", "bytes=16-31"); a.status != http.StatusPartialContent || string(a.body) != "0123456789abcdef" {
		t.Errorf("range: %d %q", a.status, a.body)
	}
	close(more)
	wait.Wait()
	if got := b.asked(); len(got) != 1 {
		t.Errorf("the registry was asked %d times", len(got))
	}
	g.spoolsAreEmpty(t)
}

// TestRequestsByOthersShareNothing: two gateways that lead to each other would
// wait for each other's downloads. Nor does another port of the host share one.
func TestRequestsByOthersShareNothing(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	more := b.pause()
	u, port := newUpstream(t, b), newUpstream(t, b)
	g := newGateway(t, nil, u, port)
	requests := []struct {
		to     *upstream
		header []string
	}{{to: u}, {u, []string{"Via", "1.1 other"}}, {to: port}}
	for _, r := range requests {
		resp := g.open(t, b.path(r.to), r.header...)
		defer resp.Body.Close()
		_, err := io.ReadFull(resp.Body, make([]byte, 1000))
		must(t, err)
	}
	if n := len(b.asked()); n != len(requests) {
		t.Errorf("the registries were asked %d times, want once for each", n)
	}
	close(more)
}

// open begins a request and leaves the body to the test.
func (g *testGateway) open(tb testing.TB, path string, header ...string) *http.Response {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, g.URL+path, nil)
	must(tb, err)
	req.Header.Set(tokenHeader, g.secret)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := g.Client().Do(req)
	must(tb, err)
	return resp
}

// spoolsAreEmpty waits for the end of what nobody reads any more.
func (g *testGateway) spoolsAreEmpty(tb testing.TB) {
	tb.Helper()
	g.CloseClientConnections()
	g.Close()
	g.handler.spools.wait.Wait()
	if s := g.handler.spools; s.used != 0 || len(s.byName) != 0 {
		tb.Errorf("%d bytes of %d downloads are left", s.used, len(s.byName))
	}
	files, err := os.ReadDir(g.store.dir)
	must(tb, err)
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "spool") {
			tb.Errorf("%s is left", f.Name())
		}
	}
}

// TestWrongContent never comes whole, whichever way it takes.
func TestWrongContent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		sized   bool
		spool   int64
		corrupt func([]byte) []byte
	}{
		{"shared", true, 1 << 20, flip},
		{"shared, too short", true, 1 << 20, func(b []byte) []byte { return b[:len(b)-1] }},
		{"no room to share", true, 1, flip},
		{"of unknown size", false, 1 << 20, flip},
		{"of unknown size, too long", false, 1 << 20, func(b []byte) []byte { return append(b, 'x') }},
		{"empty", true, 1 << 20, func([]byte) []byte { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBlobServer(64 << 10)
			wrong := tt.corrupt(bytes.Clone(b.content))
			b.handler = func(w http.ResponseWriter, _ *http.Request) {
				if tt.sized {
					w.Header().Set("Content-Length", strconv.Itoa(len(wrong)))
				} else {
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = w.Write(wrong)
			}
			u := newUpstream(t, b)
			g := newGateway(t, func(o *options) { o.SpoolSize = tt.spool }, u)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+b.path(u), nil)
			must(t, err)
			req.Header.Set(tokenHeader, g.secret)
			resp, err := g.Client().Do(req)
			if err != nil { // cut before anything was sent
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode == http.StatusOK && (err == nil || len(body) >= len(wrong)) {
				t.Errorf("%d bytes of %d, %v", len(body), len(wrong), err)
			}
		})
	}
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

func TestGoodContentOfUnknownSize(t *testing.T) {
	t.Parallel()
	b := newBlobServer(64 << 10)
	b.handler = func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = w.Write(b.content)
	}
	u := newUpstream(t, b)
	g := newGateway(t, nil, u)
	if a := g.do(t, http.MethodGet, b.path(u)); a.err != nil || !bytes.Equal(a.body, b.content) {
		t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
	}
}

// TestCutDownloadsGoOn: all who read have the rest, whatever one request met.
func TestCutDownloadsGoOn(t *testing.T) {
	t.Parallel()
	rest := func(n int) []string { return slices.Repeat([]string{"bytes=524288-"}, n) }
	for name, tt := range map[string]struct {
		// resume answers the n-th request for the rest, from 0 on.
		resume func(b *blobServer, n int, w http.ResponseWriter, r *http.Request)
		fails  bool
		want   []string
	}{
		"where they were": {
			resume: func(b *blobServer, _ int, w http.ResponseWriter, r *http.Request) { b.whole(w, r) },
			want:   rest(1),
		},
		"from the beginning": {
			resume: func(b *blobServer, _ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(len(b.content)))
				_, _ = w.Write(b.content)
			},
			want: rest(1),
		},
		"after other answers": {
			resume: func(b *blobServer, n int, w http.ResponseWriter, r *http.Request) {
				switch n {
				case 0, 1:
					w.WriteHeader(http.StatusServiceUnavailable)
				case 2:
					w.WriteHeader(http.StatusTooManyRequests)
				case 3:
					panic(http.ErrAbortHandler)
				case 4:
					w.Header().Set("Content-Range", "bytes 0-9/10")
					w.WriteHeader(http.StatusPartialContent)
				default:
					b.whole(w, r)
				}
			},
			// After a part of another place all of it is asked for.
			want: slices.Concat(rest(5), []string{""}, rest(1)),
		},
		"not where all answers are 503": {
			resume: func(_ *blobServer, _ int, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
			},
			fails: true, want: rest(maxResumes),
		},
		"not where it is gone": {
			resume: func(_ *blobServer, _ int, w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
			fails:  true, want: rest(1),
		},
		"not where it is forbidden now": {
			resume: func(_ *blobServer, _ int, w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
			},
			fails: true, want: rest(1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBlobServer(1 << 20)
			both := make(chan struct{})
			var asked atomic.Int64
			b.handler = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") == "" {
					b.half(w)
					<-both
					panic(http.ErrAbortHandler)
				}
				tt.resume(b, int(asked.Add(1))-1, w, r)
			}
			u := newUpstream(t, b)
			u.alone = true
			g := newGateway(t, nil, u)
			g.handler.spools.pause = func(context.Context, time.Duration) error { return nil }
			first, second := g.open(t, b.path(u)), g.open(t, b.path(u))
			defer first.Body.Close()
			defer second.Body.Close()
			close(both)
			for _, resp := range []*http.Response{first, second} {
				body, err := io.ReadAll(resp.Body)
				if tt.fails == (err == nil && bytes.Equal(body, b.content)) {
					t.Errorf("%d bytes, %v", len(body), err)
				}
			}
			if got := b.asked(); !slices.Equal(got[1:], tt.want) {
				t.Errorf("asked %q, want %q", got[1:], tt.want)
			}
			g.spoolsAreEmpty(t)
		})
	}
}

// slowBody is the beginning of a blob that came too slowly for the rest to be
// waited for.
type slowBody struct{ io.ReadCloser }

func (s *slowBody) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		err = &bounded.SlowError{Host: "slow.example", Bytes: 9, Waited: time.Minute}
	}
	return n, err
}

// TestSlowDownloadIsGivenUp: nobody asks for its rest.
func TestSlowDownloadIsGivenUp(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			b.whole(w, r)
			return
		}
		b.half(w)
		panic(http.ErrAbortHandler)
	}
	u := newUpstream(t, b)
	g := newGateway(t, nil, u)
	open := g.handler.spools.open
	g.handler.spools.open = func(ctx context.Context, to *target, offset int64) (*http.Response, error) {
		resp, err := open(ctx, to, offset)
		if err == nil && offset == 0 {
			resp.Body = &slowBody{resp.Body}
		}
		return resp, err
	}
	resp := g.open(t, b.path(u))
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%d bytes and no error", len(body))
	}
	if got := b.asked(); len(got) != 1 {
		t.Errorf("asked %q", got)
	}
	g.spoolsAreEmpty(t)
}

func TestDownloadEndsWithItsLastReader(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	ended := make(chan struct{})
	b.handler = func(w http.ResponseWriter, r *http.Request) {
		b.half(w)
		<-r.Context().Done()
		close(ended)
	}
	u := newUpstream(t, b)
	g := newGateway(t, nil, u)
	first, second := g.open(t, b.path(u)), g.open(t, b.path(u))
	must(t, first.Body.Close())
	if _, err := io.ReadFull(second.Body, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	must(t, second.Body.Close())
	<-ended
	g.spoolsAreEmpty(t)
}

func TestMissingBlobIsToldAsSuch(t *testing.T) {
	t.Parallel()
	b := newBlobServer(16)
	b.handler = http.NotFound
	u := newUpstream(t, b)
	g := newGateway(t, nil, u)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := g.do(t, method, b.path(u))
		if a.status != http.StatusNotFound || method == http.MethodGet && !strings.Contains(string(a.body), codeBlobUnknown) {
			t.Errorf("%s: %d %s", method, a.status, a.body)
		}
	}
}

func TestSlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	b := newBlobServer(64 << 20)
	b.handler = b.whole
	u := newUpstream(t, b)
	g := newGateway(t, func(o *options) { o.WriteStall = 100 * time.Millisecond }, u)
	resp := g.open(t, b.path(u))
	defer resp.Body.Close()
	// Nothing is read until the gateway has given up.
	g.handler.serving.Lock()
	defer g.handler.serving.Unlock()
	body, err := io.ReadAll(resp.Body)
	if err == nil || len(body) == len(b.content) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// A client that takes a little all the time is slow, and not gone.
func TestSlowClientIsServed(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			b := newBlobServer(8 << 20)
			b.handler = b.whole
			u := newUpstream(t, b)
			socket := filepath.Join(t.TempDir(), "s")
			r := run(t, func(c *Config) {
				u.dir(t, c.Root)
				c.WriteStall = Duration(2 * time.Second)
				if network == "unix" {
					c.Listen = []string{"unix:" + socket}
				}
			})
			conn, err := (&net.Dialer{}).DialContext(t.Context(), network, r.address)
			must(t, err)
			defer conn.Close()
			if tcp, ok := conn.(*net.TCPConn); ok {
				must(t, tcp.SetReadBuffer(64<<10))
			}
			_, err = io.WriteString(conn, "GET "+b.path(u)+" HTTP/1.1\r\nHost: localhost\r\n"+tokenHeader+": "+r.secret(t)+"\r\n\r\n")
			must(t, err)
			slowly := &throttled{conn, time.NewTicker(20 * time.Millisecond), time.Now().Add(5 * time.Second)}
			defer slowly.tick.Stop()
			resp, err := http.ReadResponse(bufio.NewReaderSize(slowly, 2<<10), nil)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || !bytes.Equal(body, b.content) {
				t.Errorf("%d bytes, %v\n%s", len(body), err, r.log)
			}
		})
	}
}

// throttled reads a little at each tick, until it is late.
type throttled struct {
	r    io.Reader
	tick *time.Ticker
	late time.Time
}

// Read implements io.Reader.
func (s *throttled) Read(p []byte) (int, error) {
	if time.Now().Before(s.late) {
		<-s.tick.C
		p = p[:min(len(p), 2<<10)]
	}
	return s.r.Read(p)
}

func TestLogTellsWhoWasCutOff(t *testing.T) {
	t.Parallel()
	b := newBlobServer(64 << 20)
	b.handler = b.whole
	u := newUpstream(t, b)
	r := run(t, func(c *Config) { u.dir(t, c.Root); c.WriteStall = Duration(100 * time.Millisecond) })
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.address)
	must(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET "+b.path(u)+" HTTP/1.1\r\nHost: localhost\r\n"+tokenHeader+": "+r.secret(t)+"\r\n\r\n")
	must(t, err)
	_, err = io.ReadFull(conn, make([]byte, 1))
	must(t, err)
	must(t, r.stop())
	if !strings.Contains(r.log.String(), `error="the client read nothing for 100ms"`) {
		t.Errorf("got\n%s", r.log)
	}
}

// The line of a request whose blob turned out to be another one says so: its
// status was sent before.
func TestLogTellsOfDamagedBlobs(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	b.handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(make([]byte, 1<<20))
	}
	u := newUpstream(t, b)
	r := run(t, func(c *Config) { u.dir(t, c.Root) })
	if resp, err := r.download(t, b.path(u)); err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, resp.Body.Close())
		if err == nil {
			t.Error("the damaged blob is whole to its client")
		}
	}
	must(t, r.stop())
	if !regexp.MustCompile(`msg="certsd gateway: request" .*reason="cut short: `).MatchString(r.log.String()) {
		t.Errorf("got\n%s", r.log)
	}
}

func TestSpoolGivesUpWithItsReader(t *testing.T) {
	t.Parallel()
	sp := &spool{size: 10}
	sp.grown = sync.NewCond(&sp.mu)
	ctx, cancel := context.WithCancel(t.Context())
	defer sp.wakeWith(ctx)()
	cancel()
	if _, err := sp.reader(ctx, 0).Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestSpoolRefusesMoreThanWasAnnounced(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer file.Close()
	sp := &spool{size: 3, file: file, target: &target{host: "h", repository: "r"}}
	sp.grown = sync.NewCond(&sp.mu)
	hash := digest.SHA256.Hash()
	if err := sp.fill(iotest.OneByteReader(strings.NewReader("abcd")), hash); err == nil || err.Error() != "h/r: more than the 3 bytes that were announced" {
		t.Errorf("got %v", err)
	}
}
