package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/internal/gatewayconfig"
)

// printFlags are the flags that print the configuration of clients instead of serving.
type printFlags struct {
	hosts, buildkit, registries bool
	url, ca                     string
}

func (f *printFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{
			Name:        "print-hosts",
			Usage:       "print the hosts.toml files for containerd, nerdctl and Docker, or write them below DIR",
			Destination: &f.hosts,
		},
		&cli.BoolFlag{
			Name:        "print-buildkit",
			Usage:       "print buildkitd.toml and the credentials for its clients, or write them to DIR",
			Destination: &f.buildkit,
		},
		&cli.BoolFlag{
			Name:        "print-registries-conf",
			Usage:       "print a file for registries.conf.d of Podman, CRI-O and skopeo and the credentials, or write them to DIR",
			Destination: &f.registries,
		},
		&cli.StringFlag{
			Name:        "client-url",
			Usage:       "the `URL` where clients reach the gateway, for --print-... (default: the address of the running one, or else of --listen)",
			Destination: &f.url,
		},
		&cli.StringFlag{
			Name:        "client-ca",
			Usage:       "the `FILE` on the clients' machines with the CA of the gateway's certificate, for --print-...",
			Destination: &f.ca,
		},
	}
}

// asked reports whether one of the flags was given.
func (f *printFlags) asked() bool { return f.hosts || f.buildkit || f.registries }

// run prints what was asked for, or writes it below the directory in args.
func (f *printFlags) run(stdout, stderr io.Writer, config *gateway.Config, args []string) error {
	if len(args) > 1 {
		return &usageError{fmt.Errorf("one directory to write to, not %d", len(args))}
	}
	if f.hosts && f.buildkit || f.hosts && f.registries || f.buildkit && f.registries {
		return &usageError{errors.New("one of --print-hosts, --print-buildkit and --print-registries-conf at a time")}
	}
	if f.hosts && len(args) == 1 && config.Reads(args[0]) {
		return &usageError{fmt.Errorf("%s is searched by the gateway itself, which would then ask itself: "+
			"keep what the gateway reads in another directory and name that with --root", args[0])}
	}
	known, err := config.Clients(f.url)
	if err != nil {
		return &usageError{err}
	}
	if !known.Running && f.url == "" {
		_, _ = fmt.Fprintf(stderr, "certsd: no gateway runs with the state directory %s: %s is where it is configured to listen\n", config.State, known.URL)
	}
	clients := gatewayconfig.Gateway{URL: known.URL, CA: f.ca, Secret: known.Secret, Upstreams: known.Upstreams}
	list := clients.RegistriesConf
	switch {
	case f.hosts:
		list = clients.Hosts
	case f.buildkit:
		list = clients.BuildKit
	}
	files, err := list()
	if err != nil {
		return &usageError{err}
	}
	if len(args) == 0 {
		return gatewayconfig.Print(stdout, files)
	}
	if err := gatewayconfig.Write(args[0], files); err != nil || !f.hosts {
		return err
	}
	left, err := gatewayconfig.Leftovers(args[0], files)
	for _, path := range left {
		_, _ = fmt.Fprintf(stderr, "certsd: %s leads to the gateway, which does not serve that registry: remove it, or its pulls are refused\n", path)
	}
	return err
}
