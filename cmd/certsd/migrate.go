package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

const migrateDescription = `Reads certs.d directories of Docker's layout, Podman's too, the deprecated registry keys of containerd's CRI plugin
(mirrors, configs) and Docker's daemon.json (registry-mirrors, insecure-registries), and prints the hosts.toml files that
say the same, as a diff against the existing files. Lists on standard error what hosts.toml cannot say and what is left
to do.

Writes nothing without --write, and never removes anything. Adds to an existing hosts.toml if the result is unambiguous;
otherwise leaves it as it is and lists it. Copies certificates and keys from Docker's directories; files that containerd's
configuration names stay where they are. Never prints passwords or tokens.

The exit code is 0 if everything is done, 1 if something could not be written, and 2 if a configuration cannot be read.

Examples:

    certsd migrate
    certsd migrate --write

    certsd migrate --config old/config.toml --config old/daemon.json --root old/certs.d --output new/certs.d --write`

func migrateCommand(stdout, stderr io.Writer) *cli.Command {
	var root, output string
	var configs []string
	var write bool
	again := func(c *cli.Command) string {
		return asRoot(os.Geteuid(), "migrate", c)
	}
	return &cli.Command{
		Name:  "migrate",
		Usage: "turn Docker's files and containerd's deprecated keys into hosts.toml files",
		// Without this, the help would mention arguments.
		ArgsUsage:    " ",
		Description:  migrateDescription,
		OnUsageError: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "root", Usage: "read the certs.d directories in `LIST`, separated as in $PATH (default: " + certsd.DefaultRoots().String() + ", and Podman's: /etc/containers/certs.d and ~/.config/containers/certs.d)",
				Destination: &root, Validator: rootList,
			},
			&cli.StringSliceFlag{
				Name: "config", Usage: "read containerd's or Docker's configuration `FILE` " +
					"(default: /etc/containerd/config.toml and /etc/docker/daemon.json, if they exist)",
				Destination: &configs,
			},
			&cli.StringFlag{
				Name: "output", Usage: "write hosts.toml files below `DIR`; set containerd's config_path to it",
				Value: migrate.DefaultOutput(), Destination: &output,
			},
			&cli.BoolFlag{Name: "write", Usage: "write the files", Destination: &write},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("migrate takes no arguments, not %q", c.Args().First())}
			}
			o := migrate.Options{Output: output}
			if len(configs) > 0 {
				o.Configs = configs
			}
			if root != "" {
				o.Roots = certsd.ParseRoots(root)
			}
			plan, err := migrate.New(o)
			if err != nil {
				return &usageError{withRoot(err, again(c))}
			}
			return runMigration(stdout, stderr, plan, write, again(c))
		},
	}
}

// runMigration prints a plan, and writes it if write is set. again is the same command
// for root, or empty for root itself.
func runMigration(stdout, stderr io.Writer, plan *migrate.Plan, write bool, again string) error {
	if _, err := stdout.Write(plan.Diff()); err != nil {
		return err
	}
	for i, note := range plan.Notes {
		if i == 0 || plan.Notes[i-1].Kind != note.Kind {
			fmt.Fprintf(stderr, "%s:\n", note.Kind)
		}
		fmt.Fprintf(stderr, "  %s\n", safetext.Text(fmt.Sprint(note)))
	}
	if plan.Denied && again != "" {
		fmt.Fprintf(stderr, "this user could not read everything: run it as root: %s\n", safetext.Text(again))
	}
	if !write {
		if len(plan.Directories) > 0 {
			fmt.Fprintln(stderr, "nothing is written; --write does it")
		}
		return nil
	}
	written, err := plan.Write()
	if len(written) > 0 {
		fmt.Fprintln(stderr, "written:")
	}
	for _, file := range written {
		fmt.Fprintf(stderr, "  %s\n", safetext.Text(file))
	}
	if len(plan.Directories) == 0 {
		fmt.Fprintf(stderr, "nothing to write: %s says it all\n", safetext.Text(plan.Output))
	}
	return withRoot(err, again)
}
