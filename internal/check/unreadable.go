package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/certsd/containerd-certsd/certsd"
)

// DefaultConfig is where containerd's configuration is.
const DefaultConfig = "/etc/containerd/config.toml"

// hiddenWords are why a verdict is about this user alone.
const hiddenWords = "this user cannot read all that root's containerd can"

// viewer is the user who checks, who may see less than the daemon does.
type viewer struct {
	uid int
	// command is the one that checks a target as this user does.
	command func(target string) string
}

func (c *Checker) viewer() viewer {
	uid := os.Geteuid
	if c.euid != nil {
		uid = c.euid
	}
	return viewer{uid(), c.command}
}

// hidden reports whether an error is that this user may not read what is there.
// For root, whom nothing is hidden from, there is another reason.
func (v viewer) hidden(err error) bool { return errors.Is(err, fs.ErrPermission) && v.uid != 0 }

// asRoot returns the command that checks the same as root. What is configured for
// root is found by itself, and a target that is empty is all.
func (v viewer) asRoot(target string) string { return "sudo " + v.command(target) }

// ofHidden returns a problem that this user has and the daemon has not: there is
// nothing wrong with the file.
func (v viewer) ofHidden(f Finding, target string) Finding {
	f.Message = fmt.Sprintf("cannot be read by this user (uid %d), but root's containerd can read it", v.uid)
	f.Next = "check as root: " + v.asRoot(target)
	return f
}

// command returns the one that checks a target as this checker does.
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

// ofProblem returns a problem of a directory as a finding.
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
