package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/daemon"
	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
)

// Status asks the gateway running with the state directory, or listening at the
// configured addresses, what it uses. address is where it listens. If none runs the
// error is fs.ErrNotExist.
func (c *Config) Status(ctx context.Context) (st *status.Status, address string, err error) {
	r, err := findRunning(c.State)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		// A user without access to the directory may still ask at the address.
		r = listening{Addresses: c.Listen, TLS: c.TLSCert != "", Certificate: c.TLSCert}
	default:
		return nil, c.State, err
	}
	var secret string
	if err == nil && !c.AllowAnyLocal {
		secret, _ = (&sharedSecret{Dir: c.State}).Value() // not needed on this machine
	}
	err = fs.ErrNotExist
	for _, at := range r.Addresses {
		st, err = r.ask(ctx, at, secret)
		if err == nil {
			return st, at, nil
		}
		if address == "" {
			address = at
		}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" && !errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return nil, address, err
}

// askTimeout bounds how long a gateway on this machine may take to answer.
const askTimeout = 10 * time.Second

// ask asks the gateway at one address.
func (r listening) ask(ctx context.Context, address, secret string) (*status.Status, error) {
	network, at, err := daemon.SplitAddress(address)
	if err != nil {
		return nil, err
	}
	host := "localhost"
	if network != "unix" {
		at = reachable(at)
		host = at
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, at)
		},
		TLSClientConfig: r.tls(),
	}
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if r.TLS {
		scheme = "https://"
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+host+statuspage.PathJSON, nil)
	if err != nil {
		return nil, err
	}
	if secret != "" {
		req.Header.Set(tokenHeader, secret)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("%s answers %d: %s", address, resp.StatusCode, safetext.Line(string(said), 200))
	}
	st, err := status.Read(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", address, err)
	}
	return st, nil
}

// tls trusts exactly the gateway's configured certificate, whatever its name: the
// gateway is asked by address.
func (r listening) tls() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // the certificate itself is compared
		VerifyConnection: func(state tls.ConnectionState) error {
			own, err := r.certificate()
			if err != nil {
				return fmt.Errorf("the gateway's certificate: %w", err)
			}
			if len(state.PeerCertificates) == 0 || !own.Equal(state.PeerCertificates[0]) {
				return fmt.Errorf("the program that listens there has another certificate than %s", r.Certificate)
			}
			return nil
		},
	}
}

// certificate reads the gateway's certificate as the gateway does: the first in its
// file, which may also hold the key.
func (r listening) certificate() (*x509.Certificate, error) {
	data, err := plainfile.Read(r.Certificate)
	if err != nil {
		return nil, err
	}
	certs, _, err := hostdir.ParseCertificates(r.Certificate, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Certificate, err)
	}
	return certs[0], nil
}

// reachable turns a listening address into one to connect to.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	switch addr, err := netip.ParseAddr(host); {
	case host == "", err == nil && addr.IsUnspecified() && addr.Is4():
		return net.JoinHostPort("127.0.0.1", port)
	case err == nil && addr.IsUnspecified():
		return net.JoinHostPort("::1", port)
	}
	return strings.TrimSpace(address)
}
