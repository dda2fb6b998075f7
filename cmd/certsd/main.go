// Command certsd shows and uses what certs.d directories configure.
//
// Read main.go first, which has the list of commands and the exit codes. Each
// command then has a file of its name: it reads flags, calls the package that does
// the work, and prints.
//
//	check.go, pull.go, copy.go, migrate.go, status.go
//	gateway.go     the daemon; gateway_print.go writes what its clients need
//	cri.go         the image service; cri_install.go puts it on a node
//	plugin.go      makes systemd start the containerd with the plugin, and goes back
//	demo.go        a pull from demo_registry.go, then demo_tour.go
//	man.go, completion.go
//
// What they share is in flags.go, settings.go (the settings of a daemon as flags),
// credentials.go, exit_code.go, ends.go (certificates that end soon), as_root.go and
// terminal.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/containerd/log"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/quiet"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// The exit codes are a contract: see docs/configuration.md.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	// exitFinal is the code of copy and pull if repeating the command cannot help.
	exitFinal = 3
	// exitInterrupted is the code that shells report for SIGINT.
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C kills a process that does not end by itself.
	context.AfterFunc(ctx, stop)
	// The commands report better what containerd's libraries log.
	_ = log.SetLevel("error")
	quiet.Without(quiet.FSVerity)
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return exitCode(ctx, command(stdout, stderr).Run(ctx, args), stderr)
}

// exitCode prints the error of a command line and returns its exit code.
func exitCode(ctx context.Context, err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	var quiet *exitError
	if errors.As(err, &quiet) {
		return quiet.code
	}
	// The library returns an ExitCoder only for help on something unknown. A failed
	// program's *exec.ExitError is one, too, but its code is not ours.
	var help cli.ExitCoder
	if errors.As(err, &help) && !errors.As(err, new(*exec.ExitError)) {
		err = &usageError{help}
	}
	// Whatever the error consists of, its text is made safe here at the latest.
	fmt.Fprintf(stderr, "certsd: %s\n", safetext.Text(err.Error()))
	if errors.As(err, new(*usageError)) {
		fmt.Fprintln(stderr, "Run 'certsd help' for the commands and their flags.")
		return exitUsage
	}
	if errors.As(err, new(*configError)) {
		return exitUsage
	}
	var p *certsd.Problem
	if errors.As(err, &p) && p.Severity == hostdir.Failure {
		return exitUsage
	}
	var o *outcome
	if errors.As(err, &o) {
		return o.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	return exitFailed
}

func command(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:            "certsd",
		Usage:           "client certificates for container registries, as certs.d directories configure them",
		Version:         builtFrom(),
		Writer:          stdout,
		ErrWriter:       stderr,
		HideHelpCommand: false,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "debug", Usage: "describe each step on standard error"},
		},
		OnUsageError: usage,
		// run chooses the exit codes.
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("unknown command %q", c.Args().First())}
			}
			return cli.ShowRootCommandHelp(c)
		},
		Commands: []*cli.Command{
			checkCommand(stdout, stderr),
			completionCommand(stdout),
			copyCommand(stdout, stderr),
			criCommand(stderr),
			demoCommand(stdout),
			gatewayCommand(stdout, stderr),
			manCommand(stdout),
			migrateCommand(stdout, stderr),
			pluginCommand(stdout, stderr),
			pullCommand(stdout, stderr),
			statusCommand(stdout),
		},
	}
}

// exitError ends the program with an exit code and no message.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// usageError reports an invalid command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (e *usageError) Unwrap() error { return e.error }

func usage(_ context.Context, _ *cli.Command, err error, _ bool) error {
	return &usageError{flagError(err)}
}

// configError reports an unusable configuration.
type configError struct{ error }

// Unwrap returns the cause.
func (e *configError) Unwrap() error { return e.error }

// systemRootsMode checks a value of --system-roots.
func systemRootsMode(mode string) error {
	if mode == "" {
		return errors.New("does not name a mode")
	}
	_, err := hostdir.ParseSystemRoots(mode)
	return err
}
