package certsd

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// exchange is one try of a request with one identity, and what was seen of its
// connection. Handshakes run in goroutines of net/http that may outlive it.
type exchange struct {
	transport *Transport
	scheme    string
	host      string
	identity  *Identity

	// conn is the connection of the request, or until it has one the last that
	// was dialled for it.
	conn atomic.Pointer[conn]
	// proxy is the proxy on the way.
	proxy atomic.Pointer[url.URL]
	// fresh tells that the request was the first on its connection, answered
	// that the first byte of an answer arrived.
	fresh, answered atomic.Bool
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// context returns ctx with the exchange in it.
func (x *exchange) context(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, exchangeKey{}, x)
	// Without a connection nothing was reused.
	x.fresh.Store(true)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			x.fresh.Store(!info.Reused)
			if c := connOf(info.Conn); c != nil {
				x.conn.Store(c)
			}
		},
		GotFirstResponseByte: func() { x.answered.Store(true) },
		TLSHandshakeDone:     x.handshake,
	})
}

func (x *exchange) handshake(state tls.ConnectionState, err error) {
	if err != nil {
		return
	}
	if c := x.connection(); c != nil {
		c.resumed.Store(state.DidResume)
	}
	x.transport.hosts().tls.add(bareHost(x.scheme, x.host))
	if hook := x.transport.Hooks.OnHandshake; hook != nil {
		hook(Handshake{Host: x.host, Identity: nameOf(x.identity), Resumed: state.DidResume})
	}
}

// connection returns the connection, nil if there is none.
func (x *exchange) connection() *conn {
	if x == nil {
		return nil
	}
	return x.conn.Load()
}

// request returns the request to make: a copy of req, which must not be
// changed, without the header, which is shared.
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
