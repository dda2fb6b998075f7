package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/settings"
	"github.com/certsd/containerd-certsd/internal/stranger"
	"github.com/certsd/containerd-certsd/resolver"
)

// Config is the configuration of a gateway. Each key of the file is also a flag, with
// dashes. The tag usage is the flag's help, with the placeholder for its value in
// quotes. The defaults are those of [DefaultConfig].
type Config struct {
	// Root lists the certs.d directories, separated as in $PATH. Empty means
	// [certsd.DefaultRoots].
	Root string `toml:"root" usage:"search the certs.d directories in 'LIST', separated as in $PATH"`

	resolver.Settings

	// DockerConfig is a config.json of Docker or an auth.json of Podman, with
	// credentials and credential helpers. Empty, the default, means the file of the
	// user that the gateway runs as.
	DockerConfig string `toml:"docker_config" usage:"read the credentials for registries, and the names of credential helpers, from 'FILE', a config.json of Docker; empty means the one of the user"`

	// Upstreams are registries, host[:port], that may be asked without a directory
	// of their own. Default: none.
	Upstreams []string `toml:"upstreams" usage:"also ask registry 'HOST[:PORT]', which has no directory of its own"`

	// Listen are the addresses, host:port or unix:PATH. Default: 127.0.0.1:5999.
	Listen []string `toml:"listen" usage:"listen on 'ADDRESS', host:port or unix:PATH"`

	// AllowRemote allows addresses other than loopback in Listen without TLS. Default:
	// no.
	AllowRemote bool `toml:"allow_remote" usage:"listen outside loopback without TLS"`

	// AllowAnyLocal admits every client that can connect, without the secret. Default:
	// no.
	AllowAnyLocal bool `toml:"allow_any_local" usage:"let in every client that can connect, without the secret"`

	// PassCredentials lets clients that send the secret in the header also send user
	// and password for the registry, as Kubernetes does with its pull secrets. Default:
	// no.
	PassCredentials bool `toml:"pass_credentials" usage:"use the user and password that clients send for the registry; such clients send the secret in the header"`

	// TLSCert and TLSKey are PEM files. Empty, the default, means no TLS.
	TLSCert string `toml:"tls_cert" usage:"speak TLS with the certificate in 'FILE'"`
	TLSKey  string `toml:"tls_key" usage:"use the TLS key in 'FILE'"`

	// TLSClientCA is a PEM file of CAs. Clients with their certificates need no secret.
	// Empty, the default, means none.
	TLSClientCA string `toml:"tls_client_ca" usage:"let in clients with certificates of the CAs in 'FILE', in place of the secret"`

	// HostNames are accepted in Host in addition to the names of the loopback
	// interface. Default: none.
	HostNames []string `toml:"host_names" usage:"also accept 'NAME' in Host, besides the names of the loopback interface"`

	// State is the directory of the secret and of converted images. Default:
	// /var/lib/certsd/gateway, or certsd/gateway below $XDG_STATE_HOME for users other
	// than root.
	State string `toml:"state" usage:"keep the secret and converted images in 'DIR'"`

	// StoreSize bounds the converted images, in bytes; 0 means no limit. Default: 20
	// GiB.
	StoreSize Size `toml:"store_size" usage:"keep at most 'SIZE' of converted images, such as 20GiB; 0 is no limit"`

	// SpoolSize bounds the disk space of shared downloads, in bytes; 0 disables
	// sharing. Default: 8 GiB.
	SpoolSize Size `toml:"spool_size" usage:"share downloads of blobs among clients with at most 'SIZE' on disk; 0 shares nothing"`

	// MaxDownloads is how many layers conversions fetch at a time. Default: 6.
	MaxDownloads int `toml:"max_downloads" usage:"fetch 'N' layers at a time for conversions"`

	// SecretGrace is how long a replaced secret is still accepted. Default: an hour.
	SecretGrace Duration `toml:"secret_grace" usage:"accept a replaced secret for another 'DURATION'"`

	// MaxConnections is how many client connections are served at a time. Those without
	// the secret, and idle ones, make room for others. Default: 1024.
	MaxConnections int `toml:"max_connections" usage:"serve 'N' connections at a time; others wait"`

	// MaxUpstream is how many requests to registries are made at a time.
	// Default: 64.
	MaxUpstream int `toml:"max_upstream" usage:"make 'N' requests to registries at a time; others wait"`

	// WriteStall is how long a client may read nothing before it is cut off. Default: a
	// minute.
	WriteStall Duration `toml:"write_stall" usage:"cut off a client that reads nothing for 'DURATION'"`

	// StopTimeout is how long a stop waits for requests in progress. Default: a minute.
	StopTimeout Duration `toml:"stop_timeout" usage:"when stopped, wait 'DURATION' for requests under way"`

	// LogLevel is "debug", "info" (the default), "warn" or "error".
	LogLevel string `toml:"log_level" usage:"log messages of 'LEVEL': debug, info, warn or error"`
}

const (
	// defaultSecretGrace is how long a replaced secret is still accepted.
	defaultSecretGrace = time.Hour
	// defaultWriteStall is how long a client may read nothing before its connection
	// is cut.
	defaultWriteStall = time.Minute
)

// DefaultConfig returns the configuration without a file or flags.
func DefaultConfig() *Config {
	return &Config{
		Root:           certsd.DefaultRoots().String(),
		Settings:       resolver.DefaultSettings(),
		Listen:         []string{"127.0.0.1:5999"},
		State:          defaultState(),
		SecretGrace:    Duration(defaultSecretGrace),
		StoreSize:      20 << 30,
		SpoolSize:      8 << 30,
		MaxDownloads:   6,
		MaxConnections: 1024,
		MaxUpstream:    64,
		WriteStall:     Duration(defaultWriteStall),
		StopTimeout:    Duration(time.Minute),
		LogLevel:       "info",
	}
}

// defaultState returns a directory below /var/lib for root, and below $XDG_STATE_HOME
// or ~/.local/state for others.
func defaultState() string {
	if os.Geteuid() == 0 {
		return "/var/lib/certsd/gateway"
	}
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "certsd", "gateway")
}

// Check returns an error for values that cannot be used.
func (c *Config) Check() error {
	for key, value := range map[string]int{"max_connections": c.MaxConnections, "max_downloads": c.MaxDownloads, "max_upstream": c.MaxUpstream} {
		if value < 1 {
			return fmt.Errorf("%s: %d is less than 1", key, value)
		}
	}
	if c.WriteStall <= 0 || c.StopTimeout <= 0 {
		return errors.New("write_stall and stop_timeout must be more than 0")
	}
	if c.State == "" {
		return errors.New("state: no directory is given, and there is no home directory")
	}
	if err := settings.CheckLogLevel(c.LogLevel); err != nil {
		return err
	}
	if err := dockerconfig.CheckPath(c.DockerConfig); err != nil {
		return err
	}
	if _, err := canonicalSet(c.Upstreams); err != nil {
		return err
	}
	if _, err := c.hosts(resolver.Hooks{}); err != nil {
		return err
	}
	certs, err := certificatesOf(c)
	if err != nil {
		return err
	}
	if certs != nil {
		if _, _, err := certs.read(); err != nil {
			return err
		}
	}
	return c.sockets().check(certs != nil)
}

// RotateSecret replaces the secret in the state directory, or creates the first one.
// The files belong to the owner of the directory. A running gateway uses the new
// secret.
func (c *Config) RotateSecret() error {
	secret, err := openSecret(c.State)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist: start the gateway first, or name its directory with --state", c.State)
	}
	if err != nil {
		return err
	}
	return errors.Join(secret.Rotate(), secret.Close())
}

// GraceInUse returns how long a replaced secret is still accepted by the gateway
// running with the state directory, or else by one with this configuration.
func (c *Config) GraceInUse() time.Duration {
	if r, err := findRunning(c.State); err == nil {
		return r.SecretGrace
	}
	return (&sharedSecret{Grace: time.Duration(c.SecretGrace)}).grace()
}

// hosts returns the configured registries.
func (c *Config) hosts(hooks resolver.Hooks) (*resolver.Hosts, error) {
	hosts, err := c.Hosts("root", c.Root)
	if err != nil {
		return nil, err
	}
	hosts.RefuseStranger, hosts.Hooks = stranger.Refuse, hooks
	return hosts, nil
}

// roots returns the directories to search.
func (c *Config) roots() certsd.Roots {
	if c.Root == "" {
		return certsd.DefaultRoots()
	}
	return certsd.ParseRoots(c.Root)
}
