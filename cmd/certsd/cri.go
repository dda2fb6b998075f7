package main

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/log"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/imageservice"
	"github.com/certsd/containerd-certsd/internal/daemon"
	"github.com/certsd/containerd-certsd/internal/telemetry"
)

func criCommand(stderr io.Writer) *cli.Command {
	config := imageservice.DefaultConfig()
	var file string
	installer := &criInstaller{stderr: stderr}
	return &cli.Command{
		Name:  "cri",
		Usage: "serve the kubelet's image service in front of a stock containerd",
		Description: "Pulls images of registries that have certs.d directories into a stock containerd, with their client\n" +
			"certificates and the pods' pull secrets. Converts Registry v1 and schema 1 images. Passes everything else to\n" +
			"containerd unchanged. Add one line to the kubelet's configuration:\n\n" +
			"   certsd cri\n" +
			"   imageServiceEndpoint: unix:///run/certsd/cri.sock",
		OnUsageError: usage,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "read the settings from `FILE`; flags on the command line override them", Destination: &file},
		}, append(installer.flags(), settingFlags(config.Keys())...)...),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("cri takes no arguments, not %q", c.Args().First())}
			}
			if file != "" {
				if err := config.Load(file); err != nil {
					return &usageError{err}
				}
			}
			if err := setFlags(config.Keys(), c); err != nil {
				return &usageError{err}
			}
			if c.IsSet("root") {
				config.Root = absolute(config.Root)
			}
			if installer.asked() {
				// These are the node's, not the ones visible here.
				config.ContainerdConfig, config.DockerConfig = "", ""
			}
			if err := config.Check(); err != nil {
				return &usageError{err}
			}
			if installer.asked() {
				installer.settings = file
				return installer.run(ctx, c)
			}
			if err := log.SetLevel(config.LogLevel); err != nil {
				return &usageError{fmt.Errorf("log_level: %w", err)}
			}
			log.L.Logger.SetOutput(stderr)
			daemon.IgnoreHangup()
			telemetry.Built(builtFrom(), "")
			return config.Run(ctx, nil)
		},
	}
}
