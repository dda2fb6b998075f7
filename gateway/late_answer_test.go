package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// hang answers nothing.
func hang(_ http.ResponseWriter, r *http.Request) bool {
	<-r.Context().Done()
	return true
}

func TestRegistryThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.answers(hang)
	g := newGateway(t, func(o *options) { o.Patience = 100 * time.Millisecond }, u)
	for _, path := range []string{"/manifests/1", "/manifests/" + someDigest, "/blobs/" + someDigest, "/tags/list", "/referrers/" + someDigest} {
		for _, header := range []string{"", "bytes=0-9"} {
			a := g.do(t, http.MethodGet, "/v2/app"+path+"?ns="+u.host, "Range", header)
			if a.status != http.StatusGatewayTimeout || !strings.Contains(string(a.body), `{"errors":[{"code":"UNAVAILABLE","message":"`) ||
				!strings.Contains(string(a.body), u.host+" has not answered for 100ms") {
				t.Errorf("%s %s: %d %s", path, header, a.status, a.body)
			}
		}
		if a := g.do(t, http.MethodHead, "/v2/app"+path+"?ns="+u.host); a.status != http.StatusGatewayTimeout {
			t.Errorf("HEAD %s: %d", path, a.status)
		}
	}
}

// A manifest that is not sent to its end is not waited for: its client has no
// header before all of it is verified.
func TestRegistryThatSendsHalfAManifest(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	img := u.push(t, "app:1", 1)
	d, err := img.Digest()
	must(t, err)
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			return false
		}
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		return hang(w, r)
	})
	g := newGateway(t, func(o *options) { o.Patience = 200 * time.Millisecond }, u)
	if a := g.do(t, http.MethodGet, "/v2/app/manifests/"+d.String()+"?ns="+u.host); a.status != http.StatusGatewayTimeout {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

// An answer that comes as the time ends is either taken whole or not at all.
func TestAnsweredInTime(t *testing.T) {
	t.Parallel()
	ctx, answered := hurry(t.Context(), "registry.test", time.Hour)
	if !answered() || ctx.Err() != nil {
		t.Errorf("an answer in time is late: %v", context.Cause(ctx))
	}
	ctx, answered = hurry(t.Context(), "registry.test", 0)
	<-ctx.Done()
	if answered() {
		t.Error("an answer after the time is in time")
	}
}

// What has begun may take as long as it wants.
func TestContentIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, wanted := range []string{"", "bytes=0-"} {
		b := newBlobServer(1 << 20)
		more := make(chan struct{})
		b.handler = func(w http.ResponseWriter, _ *http.Request) {
			if wanted != "" {
				w.Header().Set("Content-Range", "bytes 0-1048575/1048576")
				w.Header().Set("Content-Length", "1048576")
				w.WriteHeader(http.StatusPartialContent)
			}
			b.half(w)
			<-more
			_, _ = w.Write(b.content[len(b.content)/2:])
		}
		u := newUpstream(t, b)
		g := newGateway(t, func(o *options) { o.Patience = 3 * time.Second }, u)
		resp := g.open(t, b.path(u), "Range", wanted)
		head := make([]byte, 1000)
		_, err := io.ReadFull(resp.Body, head)
		must(t, err)
		// This one is given up after as long.
		u.answers(hang)
		if a := g.do(t, http.MethodGet, "/v2/app/tags/list?ns="+u.host); a.status != http.StatusGatewayTimeout {
			t.Errorf("got %d %s", a.status, a.body)
		}
		close(more)
		rest, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(append(head, rest...), b.content) {
			t.Errorf("%q: %d bytes, %v", wanted, len(head)+len(rest), err)
		}
		must(t, resp.Body.Close())
	}
}

// Clients that take ranges slowly hold what others wait for.
func TestNoRequestIsLeft(t *testing.T) {
	t.Parallel()
	b := newBlobServer(1 << 20)
	more := make(chan struct{})
	b.handler = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-1048575/1048576")
		w.Header().Set("Content-Length", "1048576")
		w.WriteHeader(http.StatusPartialContent)
		b.half(w)
		<-more
	}
	u := newUpstream(t, b)
	g := newGateway(t, func(o *options) { o.MaxUpstream, o.Patience = 4, time.Second }, u)
	defer close(more)
	for range 2 {
		resp := g.open(t, b.path(u), "Range", "bytes=0-")
		defer resp.Body.Close()
	}
	for _, path := range []string{"/manifests/1", "/manifests/" + someDigest, "/blobs/" + someDigest, "/tags/list", "/referrers/" + someDigest} {
		a := g.do(t, http.MethodGet, "/v2/app"+path+"?ns="+u.host)
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "5" || !strings.Contains(string(a.body), `{"errors":[{"code":"TOOMANYREQUESTS","message":"max_upstream requests`) {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
	}
}

func TestWhatHasBegunWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	fl := &flight{}
	fl.begin()
	for name, ctx := range map[string]context.Context{
		"conversion": context.WithValue(t.Context(), flightKey{}, fl),
		"download":   unhurried(t.Context()),
	} {
		l := &limited{slots: share{newShares(1), "registry"}}
		must(t, l.slots.Acquire(t.Context(), 1))
		if err := l.acquire(t.Context()); err != error(errBusy) { //nolint:errorlint // as it is
			t.Errorf("%s: a client's request: %v", name, err)
		}
		waited := make(chan error, 1)
		go func() { waited <- l.acquire(ctx) }()
		l.slots.Release(1)
		must(t, <-waited)
	}
}
