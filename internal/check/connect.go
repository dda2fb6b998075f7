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

// connection is what was seen of a connection.
type connection struct {
	// proxy is the proxy used, addresses the DNS result, connected the address that
	// accepted the connection.
	proxy     *url.URL
	addresses []string
	connected string
	// state is the server's handshake, asked reports whether it requested a client
	// certificate, and cas are the CAs that it named, in DER.
	state *tls.ConnectionState
	asked bool
	cas   [][]byte
	// err is why the request failed, onlyRSA whether the server offers only the RSA key
	// exchange that Go has switched off.
	err     error
	onlyRSA bool
}

// probe watches the connection of a request that carries nothing private.
type probe struct {
	// mu guards the fields below.
	mu   sync.Mutex
	seen connection
	// toProxy reports whether the next handshake is with an HTTPS proxy.
	toProxy bool
}

// connect resolves the name, connects and shakes hands, through the proxy if there is
// one, and returns what was seen.
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

// transport returns the probe's transport. It does not verify the server, so that a
// faulty certificate can be shown along with what is wrong with it.
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

// onlyRSA reports whether a server that ended the handshake before sending a
// certificate accepts the RSA cipher suites that Go has switched off.
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

// The alerts of a server that has no cipher suite in common with the client.
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
