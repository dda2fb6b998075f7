package imageservice

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/certsd/containerd-certsd/internal/safepath"
	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// loopback is a registry on 127.0.0.1 for containerd alone: it serves the images under
// way to whoever knows their keys, and nothing else. What containerd fetches itself
// does not pass through its socket, which costs it, per byte, more processor time than
// the network does.
type loopback struct {
	// dir is the directory of hosts.toml files that sends containerd to address,
	// whatever registry a reference names.
	dir, address string
	server       *http.Server
	served       chan struct{}
	probe        probe
	// requests is how many are under way; longestWait is the constant of that name.
	requests    atomic.Int64
	longestWait time.Duration
	strangers   strangers

	// mu guards offers, which are found by their keys.
	mu     sync.Mutex
	offers map[string]*offer
}

const (
	// keyHeader is the header with the key of an offer. containerd gets it with each
	// transfer: no file has it, and containerd's log leaves out this header.
	keyHeader = "Authorization"
	keyPrefix = "Bearer "
	// idleTime bounds how long containerd keeps a connection of a transfer that is
	// over.
	idleTime = 10 * time.Second
)

// newLoopback starts the registry. Each process has a directory of its own, named after
// it, below hosts: one that only finishes its pulls needs its own until the end. What
// processes have left that do not live any more is removed.
func newLoopback(ctx context.Context, hosts, process string, lives func(process string) bool) (*loopback, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &loopback{
		dir: filepath.Join(hosts, process), address: listener.Addr().String(),
		served: make(chan struct{}), offers: map[string]*offer{}, longestWait: longestWait,
	}
	if err := l.writeHosts(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	entries, _ := os.ReadDir(hosts)
	for _, e := range entries {
		if e.Name() != process && !lives(e.Name()) {
			_ = os.RemoveAll(filepath.Join(hosts, e.Name())) // it is only in the way
		}
	}
	l.server = &http.Server{
		Handler: l, ReadHeaderTimeout: idleTime, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		ConnState:   l.strangers.track,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
	go func() {
		defer close(l.served)
		_ = l.server.Serve(listener)
	}()
	return l, nil
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// writeHosts writes the hosts.toml for every registry, if it is not there. It has no
// upstream to fall back to: whatever fails, containerd must not ask a registry itself,
// without certificates.
func (l *loopback) writeHosts() error {
	file := filepath.Join(l.dir, "_default", "hosts.toml")
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := safepath.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	text := "# certsd cri writes this file, for pulls that it has containerd make.\n" +
		"server = \"http://" + l.address + "\"\ncapabilities = [\"pull\", \"resolve\"]\n"
	return wholefile.WritePath(file, []byte(text), wholefile.Options{Mode: 0o644})
}

// Close ends the registry, and removes its directory. No offer may be left.
func (l *loopback) Close() {
	_ = l.server.Close()
	<-l.served
	_ = os.RemoveAll(l.dir)
	_ = os.Remove(filepath.Dir(l.dir)) // if no other process has one there
}

// add makes an offer available until withdraw is called, which ends its requests.
func (l *loopback) add(o *offer) (key string, withdraw func()) {
	key = rand.Text()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.offers[key] = o
	return key, func() {
		l.mu.Lock()
		delete(l.offers, key)
		l.mu.Unlock()
		o.end()
	}
}

// find returns the offer that a request has the key of, and counts the request; nil if
// there is none.
func (l *loopback) find(r *http.Request) (o *offer, done func()) {
	key, _ := strings.CutPrefix(r.Header.Get(keyHeader), keyPrefix)
	l.mu.Lock()
	defer l.mu.Unlock()
	if o = l.offers[key]; o == nil {
		return nil, nil
	}
	return o, o.begin(r)
}

// ServeHTTP implements http.Handler.
func (l *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o, done := l.find(r)
	if o == nil {
		// Nobody waits for what it still wants to send.
		w.Header().Set("Connection", "close")
		_ = http.NewResponseController(w).SetReadDeadline(time.Now())
		http.Error(w, "only containerd fetches here, and only what certsd cri has offered", http.StatusForbidden)
		return
	}
	defer done()
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		l.strangers.remove(c)
	}
	l.requests.Add(1)
	defer l.requests.Add(-1)
	o.ServeHTTP(w, r)
}
