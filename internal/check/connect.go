package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// maxNamed bounds the CAs of a server's list that are reported.
const maxNamed = 200

// probe is what is seen of a connection while a request without anything
// private is made on it.
type probe struct {
	// mu guards what follows.
	mu        sync.Mutex
	proxy     *url.URL
	addresses []string
	connected string
	dialErr   error
	state     *tls.ConnectionState
	// toProxy reports whether the next handshake is with a proxy that speaks TLS.
	toProxy bool
	asked   bool
	cas     [][]byte
	tlsErr  error
}

// connect looks up the name, connects and shakes hands, by way of its
// proxy if there is one, and notes all of it. It reports whether there is a
// server to ask.
func (r *run) connect(ctx context.Context, e *certsd.Endpoint, live *Live) bool {
	r.waiting(ctx, "a connection to %s", e.Host)
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	p := &probe{}
	transport := &http.Transport{
		OnProxyConnectResponse: certsd.ProxyAnswered(e.Proxy),
		Proxy: func(req *http.Request) (*url.URL, error) {
			u, err := e.Proxy.For(req)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.proxy, p.toProxy = u, u != nil && u.Scheme == "https"
			return u, err
		},
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// The chain is verified afterwards: what is wrong with it is to be
			// shown beside what it is. Nothing private is sent.
			InsecureSkipVerify: true, //nolint:gosec // see above
			VerifyConnection: func(state tls.ConnectionState) error {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.toProxy {
					p.toProxy = false
					return nil
				}
				p.state = &state
				return nil
			},
			GetClientCertificate: func(cri *tls.CertificateRequestInfo) (*tls.Certificate, error) {
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.state != nil {
					p.asked, p.cas = true, cri.AcceptableCAs
				}
				return &tls.Certificate{}, nil
			},
		},
	}
	defer transport.CloseIdleConnections()
	ctx = httptrace.WithClientTrace(ctx, p.trace())
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.Scheme+"://"+e.Host+e.Path+"/", nil)
	if err == nil {
		var resp *http.Response
		if resp, err = transport.RoundTrip(req); err == nil {
			closing(resp.Body)
		}
	}
	rsa := r.onlyRSA(ctx, e, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(live)
	r.debug("connection to %s: %v", e.Host, err)
	if e.Scheme == "https" && p.state != nil {
		r.tls(e, live, p)
	}
	if rsa {
		f := Finding{
			Severity: r.severity(e), Code: TLSFailed, Where: e.Host,
			Message: "it offers only RSA key exchange, which Go has switched off",
			Next:    "let the server offer ECDHE (nginx: ssl_ciphers, Apache: SSLCipherSuite); meanwhile GODEBUG=tlsrsakex=1 in the environment of whoever pulls",
		}
		live.Error = f.Message
		r.find(f)
		return false
	}
	return r.reached(e, live, p, err)
}

// onlyRSA finds out whether a server that ended a handshake before there was a
// certificate would have gone on with the cipher suites that Go has switched off.
func (r *run) onlyRSA(ctx context.Context, e *certsd.Endpoint, err error) bool {
	if alert, ok := certsd.ServerAlert(err); !ok || e.Scheme != "https" || alert != alertHandshakeFailure && alert != alertInsufficientSecurity {
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
				p.addresses = append(p.addresses, a.String())
			}
		},
		ConnectDone: func(_, addr string, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if err == nil {
				p.connected = addr
			} else {
				p.dialErr = err
			}
		},
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.tlsErr = err
		},
	}
}

func (p *probe) report(live *Live) {
	if p.proxy != nil {
		live.Proxy = safetext.Origin(p.proxy)
	}
	live.Addresses, live.Connected = p.addresses, p.connected
}

// reached reports whether there is a server that can be asked, and finds what is
// wrong if not.
func (r *run) reached(e *certsd.Endpoint, live *Live, p *probe, err error) bool {
	f := Finding{Severity: r.severity(e), Where: e.Host}
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var refused *certsd.ProxyError
	switch {
	case p.state != nil:
		return true
	case err == nil:
		return true
	case p.proxy != nil && p.connected == "":
		f.Code, f.Message = ProxyFailed, fmt.Sprintf("the proxy %s cannot be reached: %s", live.Proxy, wordsOf(err))
		if f.Next = certsd.ProxyUnreachable(e.Proxy, (&url.URL{Host: e.Host}).Hostname()); e.Proxy == nil {
			f.Next = "correct HTTPS_PROXY, or put " + (&url.URL{Host: e.Host}).Hostname() + " into NO_PROXY"
		}
	case errors.As(err, &dns):
		f.Code, f.Message = NameUnknown, fmt.Sprintf("the name %s cannot be looked up: %s", dns.Name, dnsWords(dns))
		f.Next = "correct the name, or the DNS of this machine (/etc/resolv.conf, /etc/hosts)"
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		if e.Localhost || e.HTTPFallback {
			live.PlainHTTP = true
			return true
		}
		f.Code, f.Message = NoTLS, "the server answers in plain HTTP where TLS is due"
		f.Next = `correct the port; if it is meant to be plain HTTP, write server = "http://` + e.Host + `" into hosts.toml, without ca and client`
	case p.connected == "":
		f.Code, f.Message = NoConnection, "no connection: "+wordsOf(err)
		f.Next = "see that the server runs, that the port is right, and that no firewall is in between"
	case errors.As(err, &refused):
		f.Code, f.Message, f.Next = ProxyFailed, refused.Error(), refused.Hint()
	case p.proxy != nil && !alerted(err):
		f.Code, f.Message = ProxyFailed, fmt.Sprintf("the proxy %s does not lead there: %s", live.Proxy, wordsOf(err))
		f.Next = "look into the proxy's log, or put " + (&url.URL{Host: e.Host}).Hostname() + " into NO_PROXY"
		if e.Proxy != nil {
			f.Next = "look into the proxy's log, or correct " + e.Proxy.Key + " in " + e.Proxy.File
		}
	default:
		f.Code, f.Message = TLSFailed, "no TLS: "+wordsOf(err)
		if alert, _ := certsd.ServerAlert(err); alert == alertHandshakeFailure && !p.asked {
			f.Message = "no TLS: TLS alert 40, handshake failure, before it asked for a client certificate: it has no cipher suite or curve in common with Go"
		}
		f.Next = "see what the server says: openssl s_client -connect " + hostPort(e) + " -servername " + (&url.URL{Host: e.Host}).Hostname()
	}
	live.Error = f.Message
	r.find(f)
	return false
}

// alerted reports whether it was a server of TLS who ended the connection.
func alerted(err error) bool {
	_, ok := certsd.ServerAlert(err)
	return ok
}

func dnsWords(err *net.DNSError) string {
	if err.IsNotFound {
		return "there is no such host"
	}
	return printable(err.Err)
}

func hostPort(e *certsd.Endpoint) string {
	u := &url.URL{Host: e.Host}
	if u.Port() != "" {
		return e.Host
	}
	return e.Host + ":443"
}

// tls reports a handshake and verifies the chain against the roots that count.
func (r *run) tls(e *certsd.Endpoint, live *Live, p *probe) {
	s := p.state
	t := &TLS{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), Asked: p.asked}
	for _, cert := range s.PeerCertificates {
		t.Chain = append(t.Chain, r.certificate(cert))
	}
	r.accepts[e.Host] = p.cas
	if len(s.PeerCertificates) > 0 {
		for _, problem := range e.ServersOwn(s.PeerCertificates[0]) {
			r.find(ofProblem(problem))
		}
	}
	for _, der := range p.cas[:min(len(p.cas), maxNamed)] {
		t.AcceptableCAs = append(t.AcceptableCAs, distinguishedName(der))
	}
	live.TLS = t
	r.serverEndings(e.Host, s.PeerCertificates)
	err := r.verify(e, s)
	if t.Verified = err == nil; err == nil {
		return
	}
	t.Error = wordsOf(err)
	if e.SkipVerify || e.Localhost {
		f := Finding{
			Severity: isWarning, Code: NotVerified, Where: e.Host,
			Message: "its certificate is accepted unverified, and would be refused otherwise: " + t.Error,
			Next:    "put the CA root that signed it into " + r.directoryOf(e) + " as NAME.crt",
		}
		if e.SkipVerify {
			f.Next += ", and remove skip_verify"
		}
		r.find(f)
		return
	}
	r.find(r.unverified(e, s, err))
}

func (r *run) verify(e *certsd.Endpoint, s *tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	o := x509.VerifyOptions{
		Roots: e.RootCAs(), DNSName: (&url.URL{Host: e.Host}).Hostname(), Intermediates: x509.NewCertPool(), CurrentTime: r.now(),
	}
	for _, cert := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// unverified says what is wrong with a server's certificate.
func (r *run) unverified(e *certsd.Endpoint, s *tls.ConnectionState, err error) Finding {
	dir := r.directoryOf(e)
	fault := serverfault.Chain{
		Chain: s.PeerCertificates, Err: err, Host: (&url.URL{Host: e.Host}).Hostname(), CAs: e.CAs, Dir: dir,
		NoDir: e.Dir == "" && !isDir(dir), Now: r.now(),
	}.Fault()
	f := Finding{Severity: r.severity(e), Where: e.Host, Code: Code(fault.Kind), Message: fault.Message, Next: fault.Next}
	if other, file := r.namedForOthers(e, caFiles); f.Code == UnknownAuthority && file != "" && len(e.CAs) == 0 {
		f.Next = fmt.Sprintf(`%[1]s is named for %[2]s only: if it is that CA, write server = "https://%[3]s" and ca = %[1]q at the top of hosts.toml`, filepath.Base(file), other, e.Host)
	}
	return f
}

// namedForOthers finds a file of an endpoint's directory that its hosts.toml
// names for another endpoint, which ends its being read for this one.
func (r *run) namedForOthers(e *certsd.Endpoint, files func(*certsd.Endpoint) []string) (host, file string) {
	if e.Host != r.inspection.Name {
		return "", ""
	}
	for _, other := range r.inspection.Host.Endpoints {
		if other == e {
			continue
		}
		for _, file := range files(other) {
			if filepath.Dir(file) == r.inspection.Host.Dir {
				return other.Host, file
			}
		}
	}
	return "", ""
}

// directoryOf is where CA roots and client certificates for an endpoint belong.
func (r *run) directoryOf(e *certsd.Endpoint) string {
	if e.Dir != "" {
		return e.Dir
	}
	return r.directoryFor(e.Host)
}

// severity is that of a finding about an endpoint: another one may do instead.
func (r *run) severity(e *certsd.Endpoint) string {
	endpoints := r.inspection.Host.Endpoints
	if len(endpoints) > 1 && e != endpoints[len(endpoints)-1] {
		return isWarning
	}
	return isError
}

// listed finds the identities whose issuers the server does not accept by its
// own list.
func (r *run) listed(e *certsd.Endpoint, live *Live) {
	if live.TLS == nil || len(live.TLS.AcceptableCAs) == 0 || len(live.TLS.AcceptableCAs) == maxNamed {
		return
	}
	for _, id := range e.Identities {
		if slices.ContainsFunc(r.report.Findings, func(f Finding) bool { return f.Code == Code(hostdir.NotForClients) && f.Where == id.CertFile }) {
			continue // it is to be replaced, whoever issued it
		}
		chain := hostdir.ClientChain{Identity: id, Accepts: r.accepts[e.Host], CAs: e.CAs, Others: e.Identities}
		if p := chain.Problem(e.Host); p != nil {
			r.find(ofProblem(p))
		}
	}
}

// distinguishedName is a CA of a server's list.
func distinguishedName(der []byte) string {
	var rdn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
		return "(unreadable)"
	}
	var name pkix.Name
	name.FillFromRDNSequence(&rdn)
	return printable(name.String())
}
