package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// containerdConfig is the part of containerd's config.toml that decides who pulls, and
// from which roots.
type containerdConfig struct {
	Version  int      `toml:"version"`
	Imports  []string `toml:"imports"`
	Disabled []string `toml:"disabled_plugins"`
	GRPC     address  `toml:"grpc"`
	Plugins  struct {
		GRPC     address    `toml:"io.containerd.server.v1.grpc"`
		CRI3     criConfig  `toml:"io.containerd.cri.v1.images"`
		CRI2     criConfig  `toml:"io.containerd.grpc.v1.cri"`
		Transfer pathConfig `toml:"io.containerd.transfer.v1.local"`
		Certsd   *struct {
			ConfigPath        string   `toml:"config_path"`
			SuffixDirectories bool     `toml:"suffix_directories"`
			Signer            []string `toml:"signer"`
			DockerConfig      string   `toml:"docker_config"`
		} `toml:"io.containerd.internal.v1.certsd"`
	} `toml:"plugins"`

	// parts are the files it was read from.
	parts []part
}

// address is the address of one of containerd's servers.
type address struct {
	Address string `toml:"address"`
}

type pathConfig struct {
	ConfigPath string `toml:"config_path"`
}

// replaced are the stock plugins that certsd replaces.
var replaced = []string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"}

// Containerd finds settings of containerd's configuration file that affect the roots:
// correct directories may still not be read. A missing file yields nothing. It also
// reports Docker's configuration and the file of docker_config if they cannot be read.
func (c *Checker) Containerd() []Finding {
	_, findings := c.machine().containerd()
	_, ofDocker := c.machine().docker()
	return graded(slices.Concat(findings, ofNodeLogins(c.machine().nodeLogins(), c.viewer()), ofDocker)...)
}

// ContainerdAddress returns the address that containerd is configured to listen on, or
// "".
func (c *Checker) ContainerdAddress() string {
	config, _ := c.machine().containerd()
	if config == nil {
		return ""
	}
	return cmp.Or(config.GRPC.Address, config.Plugins.GRPC.Address)
}

// configJudge finds problems of containerd's configuration.
type configJudge struct {
	*machine
	viewer
}

func (j configJudge) read(file string) (*containerdConfig, []Finding) {
	var config containerdConfig
	marked, at, err := config.read(file)
	var syntax *tomlError
	switch {
	case at == file && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.As(err, &syntax):
		return nil, []Finding{{
			Code: ContainerdConfig, Where: tomlpos.Syntax(err).At(at),
			Message: "is not a valid configuration of containerd: " + printable(tomlpos.Syntax(err).Text), Next: "correct it",
		}}
	case err != nil:
		return nil, []Finding{j.unread(file, at, err)}
	}
	findings := j.readable(file, &config)
	for _, at := range slices.Backward(marked) {
		findings = append([]Finding{{
			Code: ContainerdConfig, Where: at,
			Message: "begins with a byte order mark: containerd does not read it, and does not start with it",
			Next:    "remove it: " + plainfile.WithoutMark(at),
		}}, findings...)
	}
	return &config, findings
}

// unread returns the finding about a file that cannot be read, the main one or an
// import.
func (j configJudge) unread(file, at string, err error) Finding {
	words := wordsOf(err)
	var encoding *plainfile.EncodingError
	if errors.As(err, &encoding) {
		// Next has the command.
		words = printable(nextstep.Cause(encoding))
	}
	f := Finding{
		Code: ContainerdConfig, Where: at, Message: "cannot be read: " + words,
		Next: nextForConfig(at, err),
	}
	if at != file {
		f.Message = "is imported by " + file + ", and " + f.Message + ": containerd does not start"
	}
	if at != file && errors.Is(err, fs.ErrNotExist) {
		f.Next = "put it there, or remove it from imports"
	}
	if j.hidden(err) {
		f = j.ofHidden(f, "")
	}
	return f
}

// readable finds how a configuration that could be read affects the roots.
func (j configJudge) readable(file string, config *containerdConfig) []Finding {
	var findings []Finding
	add := func(code Code, message, next string) {
		findings = append(findings, Finding{Code: code, Where: file, Message: message, Next: next})
	}
	var stays []string
	for _, plugin := range replaced {
		if !slices.Contains(config.Disabled, plugin) {
			stays = append(stays, plugin)
		}
	}
	stock := config.stock()
	if stock && config.Plugins.Certsd != nil {
		add(CertsdStaysOut, "certsd is configured but inactive, because the stock plugins are enabled",
			"add to disabled_plugins: "+quoted(stays))
	}
	if !config.withoutCRI() {
		findings = append(findings, config.ofCRI(file, !stock || config.Plugins.Certsd != nil)...)
	}
	paths := []string{config.Plugins.Transfer.ConfigPath}
	// CRI searches each root of a list when it pulls by itself.
	split := len(config.criKeys()) > 0
	criPaths := []string{config.Plugins.CRI3.Registry.ConfigPath, config.Plugins.CRI2.Registry.ConfigPath}
	paths = append(paths, criPaths...)
	if !stock && config.Plugins.Certsd != nil {
		paths = append(paths, config.Plugins.Certsd.ConfigPath)
	}
	slices.Sort(paths)
	main := file
	for _, path := range slices.Compact(paths) {
		roots := certsd.ParseRoots(path)
		file = config.fileOf(main, func(part *containerdConfig) bool { return part.hasPath(path) })
		switch {
		case len(roots) == 0:
		case stock && len(roots) > 1 && (!split || path == config.Plugins.Transfer.ConfigPath):
			add(StockTwoRoots, fmt.Sprintf("config_path has %s roots: stock containerd ignores %s", count(len(roots)), all(len(roots))),
				"give it one root, or let certsd pull: see https://github.com/certsd/containerd-certsd/blob/main/config.toml.example")
		case !sameRoots(roots, j.roots()):
			add(OtherRoots, fmt.Sprintf("config_path is %s, but %s is checked", path, j.roots()), "certsd check --all --root "+shellWord(path))
		}
	}
	return findings
}

// hasPath reports whether one of the config_path keys has this value.
func (c *containerdConfig) hasPath(path string) bool {
	return path == c.Plugins.Transfer.ConfigPath || path == c.Plugins.CRI3.Registry.ConfigPath || path == c.Plugins.CRI2.Registry.ConfigPath ||
		c.Plugins.Certsd != nil && path == c.Plugins.Certsd.ConfigPath
}

// nextForConfig returns what to do about a configuration file that cannot be read.
func nextForConfig(file string, err error) string {
	if next := nextstep.Of(err); next != "" {
		return next
	}
	if errors.Is(err, fs.ErrPermission) {
		return "make it readable for the user that pulls: ls -l " + plainfile.Quote(file)
	}
	return "put a configuration file there"
}

// sameRoots reports whether two lists are equal but for their order, which is hardly
// ever the mistake.
func sameRoots(a, b certsd.Roots) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func count(n int) string {
	if n == 2 {
		return "two"
	}
	return strconv.Itoa(n)
}

func all(n int) string {
	if n == 2 {
		return "both"
	}
	return "all of them"
}
