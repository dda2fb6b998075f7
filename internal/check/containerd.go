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

// containerdConfig is what of containerd's config.toml decides which roots are
// searched, and by whom.
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

	// parts are the files that it was read from.
	parts []part
}

// address is where a server of containerd listens.
type address struct {
	Address string `toml:"address"`
}

type pathConfig struct {
	ConfigPath string `toml:"config_path"`
}

// replaced are the stock plugins that certsd replaces.
var replaced = []string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"}

// Containerd finds what containerd's configuration file has to do with the
// roots: the directories may be right, and not be read. A file that does not
// exist has nothing to say. It finds, too, that Docker's cannot be read, or the file
// of docker_config.
func (c *Checker) Containerd() []Finding {
	_, findings := c.machine().containerd()
	_, ofDocker := c.machine().docker()
	return graded(slices.Concat(findings, ofNodeLogins(c.machine().nodeLogins(), c.viewer()), ofDocker)...)
}

// ContainerdAddress returns where the configuration has containerd listen, empty where it
// does not say.
func (c *Checker) ContainerdAddress() string {
	config, _ := c.machine().containerd()
	if config == nil {
		return ""
	}
	return cmp.Or(config.GRPC.Address, config.Plugins.GRPC.Address)
}

// configJudge finds what is wrong with containerd's configuration.
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

// unread returns about a file that cannot be read, which the first one may
// import.
func (j configJudge) unread(file, at string, err error) Finding {
	words := wordsOf(err)
	var encoding *plainfile.EncodingError
	if errors.As(err, &encoding) {
		// The command is the next step.
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

// readable finds what a configuration that can be read has to do with the roots.
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
	// What CRI does when it pulls by itself it does with each root of a list.
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

// hasPath reports whether one of the keys is a list of roots.
func (c *containerdConfig) hasPath(path string) bool {
	return path == c.Plugins.Transfer.ConfigPath || path == c.Plugins.CRI3.Registry.ConfigPath || path == c.Plugins.CRI2.Registry.ConfigPath ||
		c.Plugins.Certsd != nil && path == c.Plugins.Certsd.ConfigPath
}

// nextForConfig returns what to do about a file of configuration that cannot be
// read.
func nextForConfig(file string, err error) string {
	if next := nextstep.Of(err); next != "" {
		return next
	}
	if errors.Is(err, fs.ErrPermission) {
		return "make it readable for the user that pulls: ls -l " + plainfile.Quote(file)
	}
	return "put a configuration file there"
}

// sameRoots compares two lists but for their order, which hardly anybody is
// mistaken about.
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
