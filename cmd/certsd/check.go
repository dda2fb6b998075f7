package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/check"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

func checkCommand(stdout, stderr io.Writer) *cli.Command {
	var hosts hostFlags
	var asJSON, all, offline, push bool
	var config, docker, within string
	return &cli.Command{
		Name:      "check",
		Usage:     "show what is configured for a registry, what the registry answers, and what to do",
		ArgsUsage: "REGISTRY[/REPOSITORY[:TAG]]",
		Description: "Shows the directories and files that count, asks the registry with each client certificate, and says which\n" +
			"one a pull would use. If you name a repository, it requests an image as a pull does, through token servers and\n" +
			"redirects. With --push it also begins an upload and cancels it.\n\n" +
			"   certsd check registry.example:5000\n" +
			"   certsd check registry.example/team/app:1.2\n" +
			"   certsd check --push registry.example/team/app\n" +
			"   certsd check --all --offline\n" +
			"   certsd check --all --expiring 30d\n\n" +
			"The exit code is 0 if a pull would work (with --push, a push too); 1 if the server or the network says no, or if a\n" +
			"certificate expires within the time given with --expiring; 2 if the configuration is unusable; and 130 after\n" +
			"Ctrl-C.",
		OnUsageError: usage,
		Flags: append(hosts.flags(),
			&cli.BoolFlag{Name: "json", Usage: "print the whole report as JSON", Destination: &asJSON},
			&cli.BoolFlag{Name: "all", Usage: "check every directory", Destination: &all},
			&cli.StringFlag{Name: "config", Usage: "check that containerd's configuration `FILE` searches these directories", Value: check.DefaultConfig, Destination: &config},
			&cli.StringFlag{Name: "docker-config", Usage: "read Docker's `FILE` to explain why Docker reaches a registry that this command cannot", Value: check.DefaultDockerConfig, Destination: &docker},
			&cli.StringFlag{Name: "expiring", Usage: "warn about each certificate and CA that expires within `TIME`, such as 30d, 2w or 12h, and fail", Destination: &within},
			&cli.BoolFlag{Name: "push", Usage: "also test whether a push to the repository may begin; leaves nothing there", Destination: &push},
			&cli.BoolFlag{Name: "offline", Usage: "read only files; contact no server", Destination: &offline},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			switch {
			case all && c.Args().Present():
				return &usageError{errors.New("--all takes no registry")}
			case push && (all || offline):
				return &usageError{errors.New("--push asks one registry: it goes with neither --all nor --offline")}
			case !all && c.Args().Len() != 1:
				return &usageError{errors.New("check takes one registry, or --all")}
			}
			expiring, err := expiringWithin(within)
			if err != nil {
				return &usageError{err}
			}
			checker := &check.Checker{Roots: hosts.roots(), SystemRoots: certsd.SystemRoots(hosts.systemRoots), SuffixDirectories: hosts.suffixes, Keys: hosts.keys(), Offline: offline, Push: push, Config: config, DockerConfig: docker, Expiring: expiring}
			logins, err := dockerCredentials(stderr)
			if err != nil {
				fmt.Fprintf(stderr, "certsd: going on without credentials: %v\n", err)
			} else {
				checker.Logins = logins
				checker.Credentials = logins.For(ctx, repositoryIn(c.Args().First()))
			}
			if c.Bool("debug") {
				checker.Debug = func(format string, args ...any) {
					_, _ = io.WriteString(stderr, safetext.Text(fmt.Sprintf("debug: "+format+"\n", args...)))
				}
			}
			if !offline {
				checker.Daemons = askedDaemons(ctx, checker.ContainerdAddress())
			}
			stop := func() {}
			if isTerminal(stderr) {
				checker.Waiting, stop = showWaiting(stderr)
			}
			report, err := checked(ctx, checker, c.Args().First(), all)
			stop()
			switch {
			case ctx.Err() != nil:
				return &outcome{errors.New("interrupted"), exitInterrupted}
			case err != nil:
				return &usageError{err}
			}
			report.Findings = append(report.Findings, checker.Containerd()...)
			write := check.WriteLines
			switch {
			case asJSON:
				write = check.WriteJSON
			case isTerminal(stdout):
				write = func(w io.Writer, r *check.Report) error {
					return check.WriteTable(w, r, check.Table{Columns: columnsOf(w), Overview: all})
				}
			}
			if err := write(stdout, report); err != nil {
				return err
			}
			return checkResult(report)
		},
	}
}

// patience is how long check waits before it says so.
const patience = 2 * time.Second

// showWaiting prints what is being waited for if that takes long, and nothing after
// stop.
func showWaiting(w io.Writer) (told func(what string), stop func()) {
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	told = func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if timer != nil {
			timer.Stop()
		}
		timer = time.AfterFunc(patience, func() {
			mu.Lock()
			defer mu.Unlock()
			if !stopped {
				_, _ = io.WriteString(w, safetext.Text("certsd: waiting for "+what+"\n"))
			}
		})
	}
	return told, func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		if timer != nil {
			timer.Stop()
		}
	}
}

// expiringWithin parses a time in days (30d), weeks (2w) or Go's syntax (12h). An empty
// text means zero.
func expiringWithin(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	unit, number := time.Duration(0), text
	for suffix, size := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			unit, number = size, n
		}
	}
	var within time.Duration
	var err error
	if unit > 0 {
		var n uint64
		if n, err = strconv.ParseUint(number, 10, 16); err == nil {
			within = time.Duration(n) * unit
		}
	} else {
		within, err = time.ParseDuration(text)
	}
	if err != nil || within <= 0 {
		return 0, fmt.Errorf("--expiring %s: write a time such as 30d, 2w or 12h", text)
	}
	return within, nil
}

// checked checks one target or all registries.
func checked(ctx context.Context, checker *check.Checker, target string, all bool) (*check.Report, error) {
	if all {
		return checker.All(ctx)
	}
	registry, err := checker.Registry(ctx, target)
	if err != nil {
		return nil, err
	}
	return &check.Report{Version: check.Version, Registries: []*check.Registry{registry}}, nil
}

// checkResult returns the exit code of a report, which has been printed.
func checkResult(r *check.Report) error {
	switch r.ExitCode() {
	case check.ExitWorks:
		return nil
	case check.ExitUnusable:
		return &exitError{exitUsage}
	default:
		return &exitError{exitFailed}
	}
}
