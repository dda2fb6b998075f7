package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/internal/settings"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/resolver"
)

// hostFlags are the flags of every command that reads host directories. Those that
// are settings of daemons, too, have the same help and the same defaults.
type hostFlags struct {
	root, systemRoots string
	suffixes          bool
	signer            []string

	once sync.Once
	open certsd.KeyOpener
}

func (f *hostFlags) flags() []cli.Flag {
	defaults := resolver.DefaultSettings()
	help := map[string]string{}
	for _, s := range settings.Of(&defaults) {
		help[s.Key] = s.Usage
	}
	return []cli.Flag{
		&cli.StringFlag{
			Name:        "root",
			Usage:       "search the certs.d directories in `LIST`, separated as in $PATH (default: " + certsd.DefaultRoots().String() + ")",
			Destination: &f.root,
			Validator:   rootList,
		},
		&cli.StringFlag{
			Name:        "system-roots",
			Usage:       help["system_roots"],
			Value:       string(defaults.SystemRoots),
			Destination: &f.systemRoots,
			Validator:   systemRootsMode,
		},
		&cli.BoolFlag{
			Name:        "suffix-directories",
			Usage:       help["suffix_directories"],
			Value:       defaults.SuffixDirectories,
			Destination: &f.suffixes,
		},
		&cli.StringSliceFlag{
			Name:        "signer",
			Usage:       help["signer"],
			Destination: &f.signer,
		},
	}
}

// rootList checks a value of --root. An empty one, as from an unset variable, means the
// default.
func rootList(list string) error {
	if list != "" && len(certsd.ParseRoots(list)) == 0 {
		return fmt.Errorf("%q does not name a directory", list)
	}
	return nil
}

// roots returns the directories to search, nil for the default.
func (f *hostFlags) roots() certsd.Roots {
	if f.root == "" {
		return nil
	}
	return certsd.ParseRoots(f.root)
}

// hosts returns the registries as the flags configure them.
func (f *hostFlags) hosts(hooks resolver.Hooks) *resolver.Hosts {
	return &resolver.Hosts{Roots: f.roots(), SystemRoots: certsd.SystemRoots(f.systemRoots), SuffixDirectories: f.suffixes, Keys: f.keys(), Hooks: hooks}
}

// keys returns the opener of keys that are not files, nil for the default.
func (f *hostFlags) keys() certsd.KeyOpener {
	f.once.Do(func() {
		if len(f.signer) == 0 {
			return
		}
		// An empty command means no command.
		f.open, _ = keys.Opener(slices.DeleteFunc(f.signer, func(s string) bool { return s == "" }))
	})
	return f.open
}

// showHosts returns hooks that print warnings, and with debug each attempt, along with
// the progress of layers.
func showHosts(report *progress.Reporter, debug bool) resolver.Hooks {
	hooks := resolver.Hooks{OnWarning: func(host string, problem error) {
		if host == "" {
			// Every registry has the roots in common.
			report.Printf("warning: %v", problem)
			return
		}
		report.Printf("warning: %s: %v", host, problem)
	}}
	warnOfEnds(&hooks, report.Printf)
	if debug {
		hooks.Transport.OnAttempt = func(a certsd.Attempt) {
			report.Printf("debug: %s %s: %s: %s", a.Method, a.URL, cmp.Or(a.Identity, "without a certificate"), answerOf(a))
		}
	}
	return hooks
}
