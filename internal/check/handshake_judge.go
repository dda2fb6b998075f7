package check

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// handshakeJudge decides whether a connection reached a server to ask, and what its
// certificate is worth.
type handshakeJudge struct{ dossier }

// maxNamed bounds how many CAs of a server's list are reported.
const maxNamed = 200

// connected records what was seen of a connection and reports whether the server can be
// asked.
func (j handshakeJudge) connected(e *certsd.Endpoint, live *Live, c *connection) bool {
	if c.proxy != nil {
		live.Proxy = safetext.Origin(c.proxy)
	}
	live.Addresses, live.Connected = c.addresses, c.connected
	if e.Scheme == "https" && c.state != nil {
		j.tls(e, live, c)
	}
	if c.onlyRSA {
		f := Finding{
			Code: TLSFailed, Where: e.Host,
			Message: "it offers only RSA key exchange, which Go has switched off",
			Next:    "have the server offer ECDHE (nginx: ssl_ciphers, Apache: SSLCipherSuite); meanwhile GODEBUG=tlsrsakex=1 in the environment of the process that pulls",
		}
		live.Error = f.Message
		j.findAt(e, f)
		return false
	}
	return j.reached(e, live, c)
}

// reached reports whether the server can be asked, and finds what is wrong if not.
func (j handshakeJudge) reached(e *certsd.Endpoint, live *Live, c *connection) bool {
	err := c.err
	f := Finding{Where: e.Host}
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var refused *certsd.ProxyError
	switch {
	case c.state != nil:
		return true
	case err == nil:
		return true
	case c.proxy != nil && c.connected == "":
		f.Code, f.Message = ProxyFailed, fmt.Sprintf("the proxy %s cannot be reached: %s", live.Proxy, wordsOf(err))
		if f.Next = e.Proxy.Unreachable((&url.URL{Host: e.Host}).Hostname()); e.Proxy == nil {
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
		f.Code, f.Message = NoTLS, "the server answers in plain HTTP where TLS is expected"
		f.Next = `correct the port; if it is meant to be plain HTTP, write server = "http://` + e.Host + `" into hosts.toml, without ca and client`
	case c.connected == "":
		f.Code, f.Message = NoConnection, "no connection: "+wordsOf(err)
		f.Next = "check that the server is running, that the port is right, and that no firewall is in between"
	case errors.As(err, &refused):
		f.Code, f.Message, f.Next = ProxyFailed, refused.Error(), refused.Hint()
	case c.proxy != nil && !alerted(err):
		f.Code, f.Message = ProxyFailed, fmt.Sprintf("the proxy %s does not lead there: %s", live.Proxy, wordsOf(err))
		f.Next = "look into the proxy's log, or put " + (&url.URL{Host: e.Host}).Hostname() + " into NO_PROXY"
		if e.Proxy != nil {
			f.Next = "look into the proxy's log, or correct " + e.Proxy.Key + " in " + e.Proxy.File
		}
	default:
		f.Code, f.Message = TLSFailed, "no TLS: "+wordsOf(err)
		if alert, _ := handshake.Alert(err); alert == alertHandshakeFailure && !c.asked {
			f.Message = "no TLS: TLS alert 40, handshake failure, before it asked for a client certificate: it has no cipher suite or curve in common with Go"
		}
		f.Next = "ask the server: openssl s_client -connect " + hostPort(e) + " -servername " + (&url.URL{Host: e.Host}).Hostname()
	}
	live.Error = f.Message
	j.findAt(e, f)
	return false
}

// alerted reports whether the server ended the connection with a TLS alert.
func alerted(err error) bool {
	_, ok := handshake.Alert(err)
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

// tls records a handshake and verifies the chain against the roots that apply.
func (j handshakeJudge) tls(e *certsd.Endpoint, live *Live, c *connection) {
	s := c.state
	t := &TLS{Version: tls.VersionName(s.Version), Cipher: tls.CipherSuiteName(s.CipherSuite), Asked: c.asked}
	for _, cert := range s.PeerCertificates {
		t.Chain = append(t.Chain, j.certificate(cert))
	}
	if len(s.PeerCertificates) > 0 {
		for _, problem := range e.ServersOwn(s.PeerCertificates[0]) {
			j.find(ofProblem(problem))
		}
	}
	for _, der := range c.cas[:min(len(c.cas), maxNamed)] {
		t.AcceptableCAs = append(t.AcceptableCAs, distinguishedName(der))
	}
	live.TLS = t
	j.serverEndings(e.Host, s.PeerCertificates)
	err := j.verify(e, s)
	if t.Verified = err == nil; err == nil {
		return
	}
	t.Error = wordsOf(err)
	if e.SkipVerify || e.Localhost {
		f := Finding{
			Code: NotVerified, Where: e.Host,
			Message: "its certificate is accepted unverified, and would be refused otherwise: " + t.Error,
			Next:    "put the CA root that signed it into " + j.directoryOf(e) + " as NAME.crt",
		}
		if e.SkipVerify {
			f.Next += ", and remove skip_verify"
		}
		j.find(f)
		return
	}
	j.findAt(e, j.unverified(e, s, err))
}

func (j handshakeJudge) verify(e *certsd.Endpoint, s *tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	o := x509.VerifyOptions{
		Roots: e.RootCAs(), DNSName: (&url.URL{Host: e.Host}).Hostname(), Intermediates: x509.NewCertPool(), CurrentTime: j.now(),
	}
	for _, cert := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	return err
}

// unverified returns the finding about a server's certificate.
func (j handshakeJudge) unverified(e *certsd.Endpoint, s *tls.ConnectionState, err error) Finding {
	dir := j.directoryOf(e)
	fault := serverfault.Chain{
		Chain: s.PeerCertificates, Err: err, Host: (&url.URL{Host: e.Host}).Hostname(), CAs: e.CAs, Dir: dir,
		NoDir: e.Dir == "" && !isDir(dir), Now: j.now(),
	}.Fault()
	f := Finding{Where: e.Host, Code: Code(fault.Kind), Message: fault.Message, Next: fault.Next}
	if other, file := j.namedForOthers(e, caFiles); f.Code == UnknownAuthority && file != "" && len(e.CAs) == 0 {
		f.Next = fmt.Sprintf(`%[1]s is configured for %[2]s only: if it is that CA, write server = "https://%[3]s" and ca = %[1]q at the top of hosts.toml`, filepath.Base(file), other, e.Host)
	}
	return f
}

// listed finds the identities whose issuers are not in the server's own list of CAs.
func (j handshakeJudge) listed(e *certsd.Endpoint, live *Live, cas [][]byte) {
	if live.TLS == nil || len(live.TLS.AcceptableCAs) == 0 || len(live.TLS.AcceptableCAs) == maxNamed {
		return
	}
	for _, id := range e.Identities {
		if slices.ContainsFunc(j.report.Findings, func(f Finding) bool { return f.Code == Code(hostdir.NotForClients) && f.Where == id.CertFile }) {
			continue // it must be replaced anyway
		}
		chain := hostdir.ClientChain{Identity: id, Accepts: cas, CAs: e.CAs, Others: e.Identities}
		if p := chain.Problem(e.Host); p != nil {
			j.find(ofProblem(p))
		}
	}
}

// distinguishedName formats an entry of a server's list of CAs.
func distinguishedName(der []byte) string {
	var rdn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
		return "(unreadable)"
	}
	var name pkix.Name
	name.FillFromRDNSequence(&rdn)
	return printable(name.String())
}

// serverEndings finds the certificates of a server's chain that end soon.
func (j handshakeJudge) serverEndings(host string, chain []*x509.Certificate) {
	for i, cert := range chain {
		j.report.Expiring = j.report.Expiring || j.expiring(cert)
		if !j.endsSoon(cert) {
			continue
		}
		f := Finding{
			Code: ServerExpiresSoon, Where: host, Next: "have it renewed at the server",
			Message: fmt.Sprintf("its certificate %q %s", printable(cert.Subject.String()), validity(cert, j.now())),
		}
		if i > 0 {
			f.Message = fmt.Sprintf("the CA %q that it sends %s", printable(cert.Subject.String()), validity(cert, j.now()))
			f.Next = "have its certificate reissued, with the chain of the CA that replaces this one"
		}
		j.find(f)
	}
}
