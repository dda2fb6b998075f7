package check

import (
	"errors"
	"io/fs"
	"slices"
	"sync"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/migrate"
	"github.com/certsd/containerd-certsd/keys"
)

// machine is the configuration of this machine that all checks need. Each file is read
// once, on first use.
type machine struct {
	// settings say where to look.
	settings *Checker
	// containerd and docker return their configuration, nil if it is missing or cannot
	// be read, and what is wrong with it.
	containerd func() (*containerdConfig, []Finding)
	docker     func() (*migrate.Docker, []Finding)
	// hosts returns the registries with a directory, keys the opener of keys that are
	// not files.
	hosts func() *certsd.Hosts
	keys  func() certsd.KeyOpener
}

func newMachine(c *Checker) *machine {
	m := &machine{settings: c}
	m.containerd = sync.OnceValues(func() (*containerdConfig, []Finding) {
		if c.Config == "" {
			return nil, nil
		}
		return configJudge{m, c.viewer()}.read(c.Config)
	})
	m.docker = sync.OnceValues(m.readDocker)
	m.keys = sync.OnceValue(m.keyOpener)
	m.hosts = sync.OnceValue(func() *certsd.Hosts {
		return &certsd.Hosts{Roots: c.Roots, SystemRoots: c.SystemRoots, SuffixDirectories: m.suffixes(), Keys: m.keys()}
	})
	return m
}

func (m *machine) readDocker() (*migrate.Docker, []Finding) {
	file := m.settings.DockerConfig
	if file == "" {
		return nil, nil
	}
	docker, err := migrate.ReadDocker(file)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return docker, nil
	}
	f := Finding{Code: DockerConfig, Where: file, Message: "Docker's configuration cannot be read: " + printable(err.Error()), Next: "correct it"}
	if by := m.settings.viewer(); by.hidden(err) {
		f = by.ofHidden(f, "")
	}
	return docker, []Finding{f}
}

func (m *machine) keyOpener() certsd.KeyOpener {
	opener := m.settings.Keys
	if config, _ := m.containerd(); opener == nil && config != nil && config.Plugins.Certsd != nil {
		// containerd itself reports signers that cannot be used.
		opener, _ = keys.Opener(config.Plugins.Certsd.Signer)
	}
	if opener == nil {
		opener = keys.Default.Open
	}
	return opener
}

// suffixes reports whether directories for all hosts below a domain count.
func (m *machine) suffixes() bool {
	if m.settings.SuffixDirectories {
		return true
	}
	config, _ := m.containerd()
	return config != nil && config.Plugins.Certsd != nil && config.Plugins.Certsd.SuffixDirectories
}

// roots returns the directories to search.
func (m *machine) roots() certsd.Roots {
	if m.settings.Roots != nil {
		return m.settings.Roots
	}
	return certsd.DefaultRoots()
}

// podmans returns Podman's directories that are not searched.
func (m *machine) podmans() certsd.Roots {
	podman := m.settings.podman
	if podman == nil {
		podman = hostdir.PodmanRoots()
	}
	searched := m.roots()
	return slices.DeleteFunc(slices.Clone(podman), func(root string) bool {
		return slices.ContainsFunc(searched, func(other string) bool { return other == root || sameFile(other, root) })
	})
}

// nodeLogins returns the file that the plugin's docker_config names, or nil.
func (m *machine) nodeLogins() *dockerconfig.File {
	config, _ := m.containerd()
	if config == nil || config.Plugins.Certsd == nil || config.Plugins.Certsd.DockerConfig == "" {
		return nil
	}
	return &dockerconfig.File{Path: config.Plugins.Certsd.DockerConfig}
}
