package plugin

import (
	"context"
	"fmt"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/log"
	"github.com/containerd/plugin"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
)

// Config is the section [plugins."io.containerd.internal.v1.certsd"].
type Config struct {
	// ConfigPath lists the certs.d roots in search order, separated as in $PATH.
	// Roots that a client names (ctr --hosts-dir, CRI's registry.config_path) take
	// precedence.
	ConfigPath string `toml:"config_path"`

	resolver.Settings

	// DockerConfig is a config.json of Docker or an auth.json of Podman. Its
	// credentials and helpers serve registries for which a client sends none.
	DockerConfig string `toml:"docker_config"`
}

func defaultConfig() *Config {
	return &Config{
		ConfigPath: certsd.DefaultRoots().String(),
		Settings:   resolver.DefaultSettings(),
	}
}

// settings is the instance of the internal plugin, shared by all transfers.
type settings struct {
	config   Config
	template *resolver.Hosts
	// logins holds the credentials of Config.DockerConfig.
	logins *dockerconfig.File
	// downloads holds the limits for all transfers.
	downloads downloads

	// mu guards hosts.
	mu sync.Mutex
	// hosts has one entry per requested list of roots.
	hosts map[string]*resolver.Hosts
}

// maxRootLists bounds settings.hosts: clients choose the keys. In practice
// there are two, our own list and CRI's.
const maxRootLists = 64

func newSettings(ic *plugin.InitContext) (any, error) {
	config, ok := ic.Config.(*Config)
	if !ok {
		return nil, fmt.Errorf("configuration is a %T", ic.Config)
	}
	return configure(ic.Context, *config)
}

// configure checks every value, so that mistakes show when containerd starts and not
// in the middle of the night.
func configure(ctx context.Context, c Config) (*settings, error) {
	template, err := c.Hosts("config_path", c.ConfigPath)
	if err != nil {
		return nil, err
	}
	template.Hooks = telemetry.Hooks(log.G(ctx))
	c.ConfigPath = template.Roots.String()
	if err := dockerconfig.CheckPath(c.DockerConfig); err != nil {
		return nil, err
	}
	logins := &dockerconfig.File{Path: c.DockerConfig, OnWarning: func(err error) { template.Hooks.OnWarning("", err) }}
	logins.Begin()
	return &settings{config: c, template: template, logins: logins, hosts: map[string]*resolver.Hosts{}}, nil
}

// hostsFor returns the process-wide hosts for a list of roots.
func (s *settings) hostsFor(list string) *resolver.Hosts {
	if list == "" {
		list = s.config.ConfigPath
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.hosts[list]; ok {
		return h
	}
	h := s.template.WithRoots(certsd.ParseRoots(list))
	if len(s.hosts) < maxRootLists {
		s.hosts[list] = h
	}
	return h
}

// remote returns our source or target for a request.
func (s *settings) remote(ctx context.Context, req *request, store content.Store, progress transfer.ProgressFunc) *remote {
	return &remote{request: req, downloads: &s.downloads, resolver: resolver.New(resolver.Options{
		Hosts:        s.hostsFor(req.wishes.hostDir),
		Header:       req.header,
		Credentials:  req.credentials(ctx),
		Fallback:     s.logins.For(ctx, repositoryOf(req.reference)),
		PlainHTTP:    req.wishes.scheme == "http",
		UpdateClient: req.wishes.updateClient(ctx),
		Store:        store,
		OnProgress:   layerProgress(progress),
	})}
}
