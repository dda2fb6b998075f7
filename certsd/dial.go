package certsd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/supply"
)

// Timeouts as in containerd's docker.DefaultHTTPTransport.
const (
	dialTimeout = 30 * time.Second
	idleTimeout = 30 * time.Second
	// headerTimeout is how long a server may take to send all headers of an answer.
	headerTimeout = 30 * time.Second
)

// maxHeader bounds the headers of an answer in bytes. Servers and proxies limit them to
// 4 to 32 KiB.
const maxHeader = 64 << 10

// newHTTPTransport returns the transport for one identity of an endpoint; id may be
// nil. It is never changed: a connection keeps the certificate it was made with, and
// swapping the certificate under a live transport has no effect until its connections
// end.
//
// It behaves like containerd's docker.DefaultHTTPTransport, including HTTP/1.1, but
// keeps more connections: a pull of many layers should not need a new handshake for
// each.
func newHTTPTransport(to target, id *Identity) *connections {
	d := &dialer{
		cas: to.CAs,
		net: net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, FallbackDelay: 300 * time.Millisecond},
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            to.roots,
			InsecureSkipVerify: to.SkipVerify, //nolint:gosec // skip_verify is the administrator's wish
			ClientSessionCache: tls.NewLRUClientSessionCache(32),
			// Unlike Certificates, this is used even if no CA in the server's list
			// matches.
			GetClientCertificate: func(cri *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return present(cri, id)
			},
		},
	}
	if to.stranger {
		d.net.ControlContext = refuseStranger
	}
	if to.DialTimeout > 0 {
		d.net.Timeout = to.DialTimeout
	}
	return &connections{supply: &d.supply, Transport: &http.Transport{
		Proxy:                  proxyFor(to.Proxy),
		OnProxyConnectResponse: answeredBy(to.Proxy),
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		TLSClientConfig:        d.tls,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshake.Timeout,
		ExpectContinueTimeout:  5 * time.Second,
		ResponseHeaderTimeout:  headerTimeout,
		// net/http would accept 10 MiB.
		MaxResponseHeaderBytes: maxHeader,
	}}
}

// connections holds the transport of one identity.
type connections struct {
	*http.Transport
	supply *supply.Supply
}

// refuseStranger is called with each resolved address just before connecting: an
// earlier check would be void if the name then resolved differently.
func refuseStranger(ctx context.Context, _, address string, _ syscall.RawConn) error {
	x := exchangeOf(ctx)
	if x == nil || x.proxy.Load() != nil || x.transport.RefuseStranger == nil {
		return nil
	}
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return x.transport.RefuseStranger(x.host, addr)
}

// dialer makes connections that record what the server asked for.
type dialer struct {
	net net.Dialer
	tls *tls.Config
	// cas are the CA roots of the endpoint, against which a proxy is verified, too.
	cas []hostdir.CA
	// supply says which connections are needed.
	supply supply.Supply
}

// conn is the connection to a server below TLS.
type conn struct {
	net.Conn
	// asked reports whether the server asked for a client certificate, offered whether
	// one was presented, and resumed whether an earlier TLS session was resumed
	// instead.
	asked, offered, resumed atomic.Bool
	// cas are the names of the CAs whose client certificates the server accepts, if it
	// lists any; peer is its own certificate.
	cas  atomic.Pointer[[][]byte]
	peer atomic.Pointer[x509.Certificate]
	// unsigned is the error of the client certificate's key if it failed to sign.
	unsigned atomic.Pointer[KeyError]

	// counted is the connection as its supply counts it.
	counted supply.Conn
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.counted.Closed()
	return c.Conn.Close()
}

// count returns the counted part of a connection, nil if the connection is not ours.
func (c *conn) count() *supply.Conn {
	if c == nil {
		return nil
	}
	return &c.counted
}

type connKey struct{}

// connIn returns the connection of a handshake. Through a proxy it is the last one made
// for the request.
func connIn(ctx context.Context) *conn {
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		return c
	}
	return exchangeOf(ctx).connection()
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	connect := d.net.DialContext
	if x := exchangeOf(ctx); x != nil && x.transport.connect != nil {
		connect = x.transport.connect
	}
	c, err := connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tracked := &conn{Conn: c}
	if x := exchangeOf(ctx); x != nil {
		x.dialled(tracked)
	}
	return tracked, nil
}

// dialTLS connects to a server without a proxy, or to a proxy that speaks TLS. Such
// a proxy is another host and must not see the server's client certificate, which
// net/http would offer to it.
func (d *dialer) dialTLS(ctx context.Context, network, addr string) (net.Conn, error) {
	x := exchangeOf(ctx)
	if x != nil && x.proxy.Load() != nil {
		// On an error the endpoint's roots alone are used.
		system, _ := x.transport.hosts().SystemPool()
		c, err := d.handshake(ctx, network, addr, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: hostdir.Pool(d.cas, system)})
		if err != nil {
			return nil, err
		}
		return proxyConn{c}, nil
	}
	if x == nil {
		return d.handshake(ctx, network, addr, d.tls.Clone())
	}
	if err := d.supply.Begin(ctx, &x.counted, addr); err != nil {
		return nil, err
	}
	c, err := d.handshake(ctx, network, addr, d.tls.Clone())
	if err != nil {
		d.supply.End(addr, nil)
		return nil, err
	}
	d.supply.End(addr, connOf(c).count())
	return c, nil
}

// handshake connects and completes the TLS handshake.
func (d *dialer) handshake(ctx context.Context, network, addr string, config *tls.Config) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	config.ServerName = host
	raw, err := d.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tracked := connOf(raw)
	ctx = context.WithValue(ctx, connKey{}, tracked)
	ctx, cancel := context.WithTimeoutCause(ctx, handshake.Timeout, handshake.ErrTimeout)
	defer cancel()
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) > 0 {
			tracked.peer.Store(state.PeerCertificates[0])
		}
		return nil
	}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if context.Cause(ctx) == handshake.ErrTimeout { //nolint:errorlint // identity is meant
			err = fmt.Errorf("%s: %w", addr, handshake.ErrTimeout)
		}
		return nil, err
	}
	tracked.resumed.Store(c.ConnectionState().DidResume)
	return c, nil
}

// proxyConn is a connection to a proxy. Its type keeps net/http from treating it as
// the connection to the server.
type proxyConn struct{ *tls.Conn }

// proxyFor returns the Proxy function of an http.Transport; a nil way means the
// environment's proxy. The function also records the proxy in the exchange: net/http
// calls it with the request's context before connecting.
func proxyFor(way *hostdir.Proxy) func(*http.Request) (*url.URL, error) {
	return func(req *http.Request) (*url.URL, error) {
		u, err := way.For(req)
		if x := exchangeOf(req.Context()); x != nil {
			x.proxy.Store(u)
		}
		return u, err
	}
}

// answeredBy returns the OnProxyConnectResponse for a proxy, which also records that
// the proxy has connected to the server.
func answeredBy(way *hostdir.Proxy) func(context.Context, *url.URL, *http.Request, *http.Response) error {
	return func(ctx context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
		err := way.Answered(ctx, proxy, req, resp)
		if x := exchangeOf(ctx); x != nil && err == nil {
			x.tunnelled.Store(true)
		}
		return err
	}
}

// connOf returns the connection below TLS, nil if it is not one of ours.
func connOf(c net.Conn) *conn {
	for range 4 {
		switch v := c.(type) {
		case *conn:
			return v
		case *tls.Conn:
			c = v.NetConn()
		case proxyConn:
			c = v.NetConn()
		default:
			return nil
		}
	}
	return nil
}
