package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/containerd/log"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/internal/daemon"
	"github.com/certsd/containerd-certsd/internal/telemetry"
)

func gatewayCommand(stdout, stderr io.Writer) *cli.Command {
	config := gateway.DefaultConfig()
	var file string
	var rotate bool
	var show printFlags
	return &cli.Command{
		Name:  "gateway",
		Usage: "serve registries to clients that cannot present client certificates",
		Description: "Serves the pull side of the registry API on a loopback address. It repeats each request to the registry that\n" +
			"the request names, with the client certificates of certs.d directories, and converts Registry v1 and schema 1\n" +
			"images. Clients name the registry in the first element of the path, or with ?ns= as containerd does. They need\n" +
			"the secret, which the first start makes in the state directory.\n\n" +
			"   certsd gateway\n" +
			"   skopeo --insecure-policy copy --src-tls-verify=false \\\n" +
			"     --src-creds certsd:$(cat /var/lib/certsd/gateway/secret) \\\n" +
			"     docker://127.0.0.1:5999/registry.example/app:1 oci:app\n\n" +
			"With a --print-... flag it serves nothing. It prints the configuration for its clients, with the secret, or\n" +
			"writes it below a directory. It never replaces files that a gateway did not write.\n\n" +
			"   certsd gateway --root /etc/docker/certs.d --print-hosts /etc/containerd/certs.d",
		ArgsUsage:    "[DIR]",
		OnUsageError: usage,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "read the settings from `FILE`; flags on the command line override them", Destination: &file},
			&cli.BoolFlag{Name: "rotate-secret", Usage: "replace the secret of the running gateway, and exit", Destination: &rotate},
		}, append(settingFlags(config.Keys()), show.flags()...)...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() && !show.asked() {
				return &usageError{fmt.Errorf("gateway takes no arguments, not %q", c.Args().First())}
			}
			if err := loadGateway(config, c, file); err != nil {
				return &usageError{err}
			}
			if show.asked() {
				return show.run(stdout, stderr, config, c.Args().Slice())
			}
			if rotate {
				return rotateSecret(stdout, config)
			}
			if err := config.Check(); err != nil {
				return &usageError{err}
			}
			if err := log.SetLevel(config.LogLevel); err != nil {
				return &usageError{fmt.Errorf("log_level: %w", err)}
			}
			log.L.Logger.SetOutput(stderr)
			daemon.IgnoreHangup()
			telemetry.Built(builtFrom(), "")
			return config.Run(ctx, gatewayCredentials(ctx, config), nil)
		},
	}
}

// rotateSecret replaces the secret, and says how long the old one is accepted and what
// to do with the new one.
func rotateSecret(stdout io.Writer, config *gateway.Config) error {
	if err := config.RotateSecret(); err != nil {
		return err
	}
	grace := "the old one is no longer accepted"
	if d := config.GraceInUse(); d > 0 {
		grace = "the old one is still accepted for " + d.String()
	}
	_, err := fmt.Fprintf(stdout, "replaced %s; %s: give the new one to the clients, as with certsd gateway --print-hosts\n",
		filepath.Join(config.State, "secret"), grace)
	return err
}

// loadGateway reads the file, then applies the flags that were given.
func loadGateway(config *gateway.Config, c *cli.Command, file string) error {
	if file != "" {
		if err := config.Load(file); err != nil {
			return err
		}
	}
	if err := setFlags(config.Keys(), c); err != nil {
		return err
	}
	if c.IsSet("root") {
		config.Root = absolute(config.Root)
	}
	return nil
}

// absolute resolves a list of roots typed in this directory. A list from a file is not
// relative to it.
func absolute(list string) string {
	roots := certsd.ParseRoots(list)
	if len(roots) == 0 {
		return list
	}
	for i, root := range roots {
		if path, err := filepath.Abs(root); err == nil {
			roots[i] = path
		}
	}
	return roots.String()
}
