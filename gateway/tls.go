package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// certificates are the gateway's own certificate and the CAs of its clients. Each
// connection checks the files; if they cannot be used, the last good ones stay in use.
type certificates struct {
	cert, key string
	// clientCA may be empty.
	clientCA string

	// mu guards the rest.
	mu      sync.Mutex
	stamps  [3]stamp
	current *tls.Config
	// lost describes the unusable part of the files in use.
	lost string
}

// certificatesOf returns the configured certificates, not read yet, or nil without TLS.
func certificatesOf(c *Config) (*certificates, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "" && c.TLSClientCA == "":
		return nil, nil
	case c.TLSCert == "" || c.TLSKey == "":
		return nil, errors.New("tls_cert and tls_key must be given together")
	}
	return &certificates{cert: c.TLSCert, key: c.TLSKey, clientCA: c.TLSClientCA}, nil
}

// readCertificates reads the files once, to find mistakes at the start.
func readCertificates(ctx context.Context, c *Config) (*certificates, error) {
	certs, err := certificatesOf(c)
	if certs == nil || err != nil {
		return nil, err
	}
	if _, err := certs.get(ctx); err != nil {
		return nil, err
	}
	return certs, nil
}

// config returns a listener's configuration.
func (c *certificates) config(ctx context.Context) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.get(ctx) },
	}
}

// stillTrusts verifies a client certificate again, with the current CAs.
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
	// Neither retry nor log again until the files change.
	c.stamps = stamps
	config, lost, err := c.read()
	switch {
	case err == nil && lost != "" && c.current == nil:
		log.G(ctx).Warn("certsd gateway: " + lost)
	case err == nil && lost != "" && lost != c.lost:
		// The files may be half written.
		err = errors.New(lost)
	}
	switch {
	case err == nil:
		if c.current != nil {
			log.G(ctx).WithField("file", c.cert).Info("certsd gateway: read a changed certificate")
		}
		c.current, c.lost = config, lost
	case c.current == nil:
		return nil, err
	default:
		log.G(ctx).WithError(err).Warn("certsd gateway: a changed certificate cannot be used, what was read last stays in use")
	}
	return c.current, nil
}

// read reads the files. lost describes the part of them that cannot be used.
func (c *certificates) read() (config *tls.Config, lost string, err error) {
	cert, err := plainfile.Read(c.cert)
	if err != nil {
		return nil, "", fmt.Errorf("tls_cert: %w", err)
	}
	key, err := plainfile.Read(c.key)
	if err != nil {
		return nil, "", fmt.Errorf("tls_key: %w", err)
	}
	pair, note, err := hostdir.ParsePair(c.cert, cert, c.key, key)
	if err != nil {
		return nil, "", fmt.Errorf("tls_cert %s and tls_key %s: %w", c.cert, c.key, err)
	}
	if note != nil {
		lost = fmt.Sprintf("tls_cert %s: %v", c.cert, note)
	}
	config = &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{*pair},
		NextProtos:   []string{"http/1.1"},
		// A session must not outlive the CA that vouched for its client.
		SessionTicketsDisabled: true,
	}
	if c.clientCA == "" {
		return config, lost, nil
	}
	data, err := plainfile.Read(c.clientCA)
	if err != nil {
		return nil, "", fmt.Errorf("tls_client_ca: %w", err)
	}
	cas, note, err := hostdir.ParseClientCAs(c.clientCA, data)
	if err != nil {
		return nil, "", fmt.Errorf("tls_client_ca: %s: %w", c.clientCA, err)
	}
	if note != nil {
		lost = strings.TrimPrefix(fmt.Sprintf("%s; tls_client_ca %s: %v", lost, c.clientCA, note), "; ")
	}
	config.ClientCAs = x509.NewCertPool()
	for _, ca := range cas {
		config.ClientCAs.AddCert(ca)
	}
	// Clients without a certificate may have the secret.
	config.ClientAuth = tls.VerifyClientCertIfGiven
	return config, lost, nil
}
