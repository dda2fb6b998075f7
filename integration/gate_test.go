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
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// gateAddr is where the gate listens, between a front and docker-registry.
const gateAddr = "127.0.0.1:5001"

// gate passes requests on to docker-registry, but for one that it holds until
// the script says so. So a pull is caught in its middle, however fast the
// machine is.
type gate struct {
	server *http.Server
	// hold takes what to hold; empty means to let everything through.
	hold chan *regexp.Regexp
	// held is sent to when a request is being held.
	held chan struct{}
	// open is received from by the request that is held.
	open chan struct{}
}

// newGate listens at gateAddr.
func newGate() (*gate, error) {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", gateAddr)
	if err != nil {
		return nil, err
	}
	g := &gate{
		hold: make(chan *regexp.Regexp, 1),
		held: make(chan struct{}, 1),
		open: make(chan struct{}),
	}
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
	select {
	case pattern := <-g.hold:
		if !pattern.MatchString(req.URL.Path) {
			g.hold <- pattern
			return
		}
	default:
		return
	}
	g.held <- struct{}{}
	select {
	case <-g.open:
	case <-req.Context().Done():
	}
}

// close ends the gate and every connection.
func (g *gate) close() { _ = g.server.Close() }

const gateUsage = "gate start|hold PATH-PATTERN|wait|open"

// gateCmd controls the gate of a script. "hold" names the next request to
// hold, "wait" returns once it has come, "open" lets it through.
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
		pattern, err := regexp.Compile(args[1])
		ts.Check(err)
		r.gate.hold <- pattern
	case len(args) == 1 && args[0] == "wait":
		ts.Check(within(func(timeout <-chan time.Time) bool {
			select {
			case <-r.gate.held:
				return true
			case <-timeout:
				return false
			}
		}, "no request came to the gate"))
	case len(args) == 1 && args[0] == "open":
		ts.Check(within(func(timeout <-chan time.Time) bool {
			select {
			case r.gate.open <- struct{}{}:
				return true
			case <-timeout:
				return false
			}
		}, "no request is held"))
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
