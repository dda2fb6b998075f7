package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// certificates are the gateway's own certificate and the CAs of its clients. The
// files are looked at for each connection; what cannot be used leaves in use
// what was read before.
type certificates struct {
	cert, key string
	// clientCA may be empty.
	clientCA string

	// mu guards the rest.
	mu      sync.Mutex
	stamps  [3]stamp
	current *tls.Config
}

// certificates are the files to be read, nil where TLS is not spoken.
func (c *Config) certificates() (*certificates, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "" && c.TLSClientCA == "":
		return nil, nil
	case c.TLSCert == "" || c.TLSKey == "":
		return nil, errors.New("tls_cert and tls_key are to be given together")
	}
	return &certificates{cert: c.TLSCert, key: c.TLSKey, clientCA: c.TLSClientCA}, nil
}

// readCertificates reads the files once, so that a mistake is found at the start.
func (c *Config) readCertificates(ctx context.Context) (*certificates, error) {
	certs, err := c.certificates()
	if certs == nil || err != nil {
		return nil, err
	}
	if _, err := certs.get(ctx); err != nil {
		return nil, err
	}
	return certs, nil
}

// config is that of a listener.
func (c *certificates) config(ctx context.Context) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.get(ctx) },
	}
}

// stillTrusts verifies a client certificate again, with the CAs of now.
func (c *certificates) stillTrusts(ctx context.Context, shown []*x509.Certificate) bool {
	config, err := c.get(ctx)
	if err != nil || config.ClientCAs == nil || len(shown) == 0 {
		return false
	}
	o := x509.VerifyOptions{Roots: config.ClientCAs, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, cert := range shown[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err = shown[0].Verify(o)
	return err == nil
}

// get returns the configuration for a connection.
func (c *certificates) get(ctx context.Context) (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var stamps [3]stamp
	for i, file := range []string{c.cert, c.key, c.clientCA} {
		if info, err := os.Stat(file); err == nil {
			stamps[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	if c.current != nil && stamps == c.stamps {
		return c.current, nil
	}
	// Until they change again there is nothing to try, or to say, once more.
	c.stamps = stamps
	config, err := c.read()
	switch {
	case err == nil:
		if c.current != nil {
			log.G(ctx).WithField("file", c.cert).Info("certsd gateway: read a changed certificate")
		}
		c.current = config
	case c.current == nil:
		return nil, err
	default:
		log.G(ctx).WithError(err).Warn("certsd gateway: a changed certificate cannot be used, what was read last stays in use")
	}
	return c.current, nil
}

func (c *certificates) read() (*tls.Config, error) {
	cert, err := plainfile.Read(c.cert)
	if err != nil {
		return nil, fmt.Errorf("tls_cert: %w", err)
	}
	key, err := plainfile.Read(c.key)
	if err != nil {
		return nil, fmt.Errorf("tls_key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls_cert %s and tls_key %s: %w", c.cert, c.key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
		// A session must not outlive the CA that vouched for its client.
		SessionTicketsDisabled: true,
	}
	if c.clientCA == "" {
		return config, nil
	}
	pem, err := plainfile.Read(c.clientCA)
	if err != nil {
		return nil, fmt.Errorf("tls_client_ca: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_client_ca: %s: no certificate in PEM", c.clientCA)
	}
	// Those without one may have the secret.
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, nil
}
