package certsd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/supply"
)

// exchange is one try of a request with one identity, and the observations on its
// connection. Handshakes run in goroutines of net/http that may outlive it.
type exchange struct {
	transport *Transport
	origin    hostname.Origin
	host      string
	identity  *Identity
	// targets are the targets whose CA roots are used; they may be nil.
	targets [2]*target

	// mu guards conn, the connection of the request, or until it has one the last
	// dialled for it. If another connection becomes free meanwhile, net/http lets the
	// dial finish; got reports whether the request has its connection.
	mu   sync.Mutex
	conn *conn
	got  bool
	// proxy is the proxy that the request goes through.
	proxy atomic.Pointer[url.URL]
	// fresh reports whether the request was the first on its connection, answered
	// whether the first byte of an answer arrived, tunnelled whether the proxy has
	// connected to the server, and shaken whether a TLS handshake with the server
	// succeeded.
	fresh, answered, tunnelled, shaken atomic.Bool

	// supply tracks the connections that the request may get, counted is the request as
	// supply counts it.
	supply  *supply.Supply
	counted supply.Request
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// context returns ctx with the exchange in it.
func (x *exchange) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	// Until there is a connection, none was reused.
	x.fresh.Store(true)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: x.want,
		GotConn: x.take,
		PutIdleConn: func(err error) {
			if err == nil {
				x.supply.GiveBack(&x.counted)
			}
		},
		GotFirstResponseByte: func() { x.answered.Store(true) },
		TLSHandshakeDone:     x.handshake,
	})
}

// want is called before the request gets a connection, also when net/http repeats it.
func (x *exchange) want(address string) {
	x.connect(nil, false)
	if x.origin.Scheme == "https" && x.proxy.Load() == nil {
		x.supply.Want(&x.counted, address)
	}
}

func (x *exchange) take(info httptrace.GotConnInfo) {
	x.fresh.Store(!info.Reused)
	c := connOf(info.Conn)
	x.connect(c, true)
	x.supply.Take(&x.counted, c.count())
}

func (x *exchange) handshake(state tls.ConnectionState, err error) {
	if err != nil {
		return
	}
	x.shaken.Store(true)
	if c := x.connection(); c != nil && x.proxy.Load() != nil {
		c.resumed.Store(state.DidResume)
	}
	x.transport.spokenTLS().add(x.origin.Bare())
	if hook := x.transport.Hooks.OnHandshake; hook != nil {
		h := Handshake{Host: x.host, Identity: nameOf(x.identity), Resumed: state.DidResume}
		h.Server, h.CA = vouched(state)
		h.CAFile = rootFile(h.CA, x.targets)
		hook(h)
	}
}

// refusedByProxy returns an error for a plain HTTP answer that can only be the proxy's
// because it asks for a user and password, otherwise nil. Over TLS a proxy cannot
// answer.
func (x *exchange) refusedByProxy(resp *http.Response, from *hostdir.Proxy) error {
	proxy := x.proxy.Load()
	if proxy == nil || x.origin.Scheme != "http" || resp.StatusCode != http.StatusProxyAuthRequired {
		return nil
	}
	_ = resp.Body.Close() // its body is for browsers
	return &ProxyError{
		Proxy: safetext.Origin(proxy), Host: safetext.Line(resp.Request.URL.Host, safetext.MaxName),
		Method: resp.Request.Method, Status: resp.StatusCode, From: from,
	}
}

// connection returns the connection, nil for none.
func (x *exchange) connection() *conn {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.conn
}

// connect records the connection of the request, nil to keep the previous one, and
// whether net/http has assigned it.
func (x *exchange) connect(c *conn, got bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.got = got; c != nil {
		x.conn = c
	}
}

// dialled records a connection made for the request, which may not use it after all.
func (x *exchange) dialled(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.got {
		x.conn = c
	}
}

// early reports whether a request failed before its TLS handshake with the server
// succeeded, on a new connection.
func (x *exchange) early() bool {
	return x.origin.Scheme == "https" && x.fresh.Load() && !x.shaken.Load()
}

// atProxy returns err as a [ProxyError] if the proxy did not connect to the server.
func (x *exchange) atProxy(err error, from *hostdir.Proxy) error {
	proxy := x.proxy.Load()
	if proxy == nil || !strings.HasPrefix(proxy.Scheme, "http") || !x.early() || x.tunnelled.Load() || handshake.ProxyFailed(err) || errors.As(err, new(*ProxyError)) {
		return err
	}
	return &ProxyError{Proxy: safetext.Origin(proxy), Host: safetext.Line(x.host, safetext.MaxName), From: from, Err: err}
}

// request returns the request to make: a copy of req, which must not be changed, with
// the given header and host.
func (x *exchange) request(req *http.Request, header http.Header, host string) *http.Request {
	own := req.WithContext(x.context(req.Context()))
	own.Header, own.Host = header, host
	return own
}

func nameOf(id *Identity) string {
	if id == nil {
		return ""
	}
	return id.Name
}

// vouched returns the certificate of a server and the root that verified it, nil if
// none.
func vouched(state tls.ConnectionState) (server, ca *x509.Certificate) {
	if len(state.PeerCertificates) == 0 {
		return nil, nil
	}
	server = state.PeerCertificates[0]
	if len(state.VerifiedChains) == 0 {
		return server, nil
	}
	chain := state.VerifiedChains[0]
	return server, chain[len(chain)-1]
}

// rootFile returns the file of a root, empty for a system root.
func rootFile(root *x509.Certificate, targets [2]*target) string {
	if root == nil {
		return ""
	}
	for _, e := range targets {
		if e == nil {
			continue
		}
		for _, ca := range e.CAs {
			if slices.ContainsFunc(ca.Certificates, root.Equal) {
				return ca.File
			}
		}
	}
	return ""
}
