package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/certsd/containerd-certsd/certsd"
)

// DefaultConfig is the default path of containerd's configuration.
const DefaultConfig = "/etc/containerd/config.toml"

// hiddenWords explain a verdict that holds for this user alone.
const hiddenWords = "this user cannot read all that root's containerd can"

// viewer is the user running the check, who may see less than the daemon.
type viewer struct {
	uid int
	// command returns the command that repeats the check of a target.
	command func(target string) string
}

func (c *Checker) viewer() viewer {
	uid := os.Geteuid
	if c.euid != nil {
		uid = c.euid
	}
	return viewer{uid(), c.command}
}

// hidden reports whether this user lacks the permission to read something. Nothing is
// hidden from root, whose error has another cause.
func (v viewer) hidden(err error) bool { return errors.Is(err, fs.ErrPermission) && v.uid != 0 }

// asRoot returns the command that repeats the check as root, of all registries if
// target is empty. Root's own configuration is found without flags.
func (v viewer) asRoot(target string) string { return "sudo " + v.command(target) }

// ofHidden returns f for a file that the daemon, unlike this user, can read: nothing is
// wrong with the file.
func (v viewer) ofHidden(f Finding, target string) Finding {
	f.Message = fmt.Sprintf("cannot be read by this user (uid %d), but root's containerd can read it", v.uid)
	f.Next = "check as root: " + v.asRoot(target)
	return f
}

// command returns the command that checks a target with this checker's settings, or all
// registries if target is empty.
func (c *Checker) command(target string) string {
	command := "certsd check"
	if c.Roots != nil {
		command += " --root " + shellWord(c.Roots.String())
	}
	if c.SystemRoots != "" && c.SystemRoots != certsd.FallbackRoots {
		command += " --system-roots " + string(c.SystemRoots)
	}
	if c.Config != "" && c.Config != DefaultConfig {
		command += " --config " + shellWord(c.Config)
	}
	if c.DockerConfig != "" && c.DockerConfig != DefaultDockerConfig {
		command += " --docker-config " + shellWord(c.DockerConfig)
	}
	if c.Push {
		command += " --push"
	}
	if target == "" {
		return command + " --all"
	}
	return command + " " + shellWord(target)
}

// ofProblem converts a problem of a directory to a finding.
func (v viewer) ofProblem(p *certsd.Problem, target string) Finding {
	f := ofProblem(p)
	if v.hidden(p.Err) {
		f = v.ofHidden(f, target)
		if p.Key != "" {
			f.Message = p.Key + ": " + f.Message
		}
	}
	return f
}
