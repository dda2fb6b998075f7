package check

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/handshake"
)

// connection is what was seen of one.
type connection struct {
	// proxy is the one on the way, addresses what DNS said, connected the address
	// that took the connection.
	proxy     *url.URL
	addresses []string
	connected string
	// state is that of the handshake with the server, asked reports whether it asked
	// for a certificate, and cas are the CAs that it named, in DER.
	state *tls.ConnectionState
	asked bool
	cas   [][]byte
	// err is why the request failed, onlyRSA whether it was for want of the cipher
	// suites that Go has switched off.
	err     error
	onlyRSA bool
}

// probe watches a connection while a request without anything private is made
// on it.
type probe struct {
	// mu guards what follows.
	mu   sync.Mutex
	seen connection
	// toProxy reports whether the next handshake is with a proxy that speaks TLS.
	toProxy bool
}

// connect looks up the name, connects and shakes hands, by way of its
// proxy if there is one, and returns all that was seen.
func (p *prober) connect(ctx context.Context, e *certsd.Endpoint) connection {
	p.waiting(ctx, "a connection to %s", e.Host)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	watch := &probe{}
	transport := watch.transport(e)
	defer transport.CloseIdleConnections()
	ctx = httptrace.WithClientTrace(ctx, watch.trace())
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.Scheme+"://"+e.Host+e.Path+"/", nil)
	if err == nil {
		var resp *http.Response
		if resp, err = transport.RoundTrip(req); err == nil {
			closing(resp.Body)
		}
	}
	rsa := onlyRSA(ctx, e, err)
	watch.mu.Lock()
	defer watch.mu.Unlock()
	p.debug("connection to %s: %v", e.Host, err)
	seen := watch.seen
	seen.err, seen.onlyRSA = err, rsa
	return seen
}

// transport makes the connection, which is verified by nobody: what is wrong with
// its certificates is to be shown beside what it is.
func (p *probe) transport(e *certsd.Endpoint) *http.Transport {
	return &http.Transport{
		OnProxyConnectResponse: e.Proxy.Answered,
		Proxy: func(req *http.Request) (*url.URL, error) {
			u, err := e.Proxy.For(req)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.seen.proxy, p.toProxy = u, u != nil && u.Scheme == "https"
			return u, err
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true, //nolint:gosec // see above: nothing private is sent
			VerifyConnection: func(state tls.ConnectionState) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.toProxy {
					p.toProxy = false
					return nil
				}
				p.seen.state = &state
				return nil
			},
			GetClientCertificate: func(cri *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.seen.state != nil {
					p.seen.asked, p.seen.cas = true, cri.AcceptableCAs
				}
				return &tls.Certificate{}, nil
			},
		},
	}
}

// onlyRSA finds out whether a server that ended a handshake before there was a
// certificate would have gone on with the cipher suites that Go has switched off.
func onlyRSA(ctx context.Context, e *certsd.Endpoint, err error) bool {
	if alert, ok := handshake.Alert(err); !ok || e.Scheme != "https" || alert != alertHandshakeFailure && alert != alertInsufficientSecurity {
		return false
	}
	var suites []uint16
	for _, suite := range tls.InsecureCipherSuites() {
		if strings.HasPrefix(suite.Name, "TLS_RSA_") {
			suites = append(suites, suite.ID)
		}
	}
	shaken := false
	transport := &http.Transport{
		Proxy: e.Proxy.For,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: suites,
			InsecureSkipVerify: true, //nolint:gosec // nothing is sent: the handshake is given up
			VerifyConnection: func(tls.ConnectionState) error {
				shaken = true
				return errGivenUp
			},
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.Scheme+"://"+e.Host+"/", nil)
	if err != nil {
		return false
	}
	if resp, err := transport.RoundTrip(req); err == nil {
		closing(resp.Body)
	}
	return shaken
}

var errGivenUp = errors.New("the handshake is given up: all was seen")

// The alerts of a server that has no cipher suite in common.
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertInsufficientSecurity tls.AlertError = 71
)

func (p *probe) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, a := range info.Addrs {
				p.seen.addresses = append(p.seen.addresses, a.String())
			}
		},
		ConnectDone: func(_, addr string, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if err == nil {
				p.seen.connected = addr
			}
		},
	}
}
