//go:build linux

package integration

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// gateAddr is where the gate listens, between a front and docker-registry.
const gateAddr = "127.0.0.1:5001"

// gate passes requests on to docker-registry, but for those that it holds until
// the script says so. So a pull is caught in its middle, however fast the
// machine is and however many requests it sends at once.
type gate struct {
	server *http.Server
	mu     sync.Mutex
	held   *held // nil if every request passes
}

// held is what a gate does not let through.
type held struct {
	path  *regexp.Regexp
	came  func()        // is called when there is one
	first chan struct{} // is closed when the first one has come
	open  chan struct{} // is closed to let them all through
}

// newGate listens at gateAddr.
func newGate() (*gate, error) {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", gateAddr)
	if err != nil {
		return nil, err
	}
	g := &gate{}
	target := &url.URL{Scheme: "http", Host: registryAddr}
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.Host = p.In.Host
		p.Out.Header["X-Forwarded-Proto"] = p.In.Header["X-Forwarded-Proto"]
	}}
	g.server = &http.Server{ReadHeaderTimeout: readyTime, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		g.pass(req)
		proxy.ServeHTTP(w, req)
	})}
	go func() { _ = g.server.Serve(listener) }() // It ends with ErrServerClosed.
	return g, nil
}

// pass returns when a request may go on.
func (g *gate) pass(req *http.Request) {
	h := g.now()
	if h == nil || !h.path.MatchString(req.URL.Path) {
		return
	}
	h.came()
	select {
	case <-h.open:
	case <-req.Context().Done():
	}
}

// now is what is held now, or nil.
func (g *gate) now() *held {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held
}

// hold lets the requests that were held go, and holds those with such a path.
func (g *gate) hold(path *regexp.Regexp) {
	var next *held
	if path != nil {
		next = &held{path: path, first: make(chan struct{}), open: make(chan struct{})}
		next.came = sync.OnceFunc(func() { close(next.first) })
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held != nil {
		close(g.held.open)
	}
	g.held = next
}

// wait returns when a request has come.
func (h *held) wait() error {
	return within(func(timeout <-chan time.Time) bool {
		select {
		case <-h.first:
			return true
		case <-timeout:
			return false
		}
	}, "no request came to the gate")
}

// close ends the gate and every connection.
func (g *gate) close() { _ = g.server.Close() }

const gateUsage = "gate start|hold PATH-PATTERN|wait|open"

// gateCmd controls the gate of a script. "hold" names the requests to hold,
// "wait" returns once one has come, "open" lets them through.
func (r *rig) gateCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, gateUsage)
	switch {
	case len(args) == 1 && args[0] == "start":
		g, err := newGate()
		ts.Check(err)
		r.gate = g
	case r.gate == nil:
		ts.Fatalf("the gate is not started")
	case len(args) == 2 && args[0] == "hold":
		path, err := regexp.Compile(args[1])
		ts.Check(err)
		r.gate.hold(path)
	case r.gate.now() == nil:
		ts.Fatalf("the gate holds nothing")
	case len(args) == 1 && args[0] == "wait":
		ts.Check(r.gate.now().wait())
	case len(args) == 1 && args[0] == "open":
		r.gate.hold(nil)
	default:
		ts.Fatalf("usage: %s", gateUsage)
	}
}

// within calls try with a channel that ends its patience.
func within(try func(timeout <-chan time.Time) bool, failure string) error {
	timer := time.NewTimer(readyTime)
	defer timer.Stop()
	if !try(timer.C) {
		return errors.New(failure + " in " + readyTime.String())
	}
	return nil
}
