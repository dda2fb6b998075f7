package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/imageservice"
	"github.com/certsd/containerd-certsd/internal/check"
	"github.com/certsd/containerd-certsd/internal/daemons"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
)

// The configuration files in the packages' units.
const (
	gatewayFile = "/etc/certsd/gateway.toml"
	criFile     = "/etc/certsd/cri.toml"
)

// watchEvery is the interval of --watch.
const watchEvery = 2 * time.Second

func statusCommand(stdout io.Writer) *cli.Command {
	var f statusFlags
	return &cli.Command{
		Name:  "status",
		Usage: "show what the daemons of this machine use now, and what needs a person",
		Description: "Asks the containerd, gateway and image service on this machine which directory and client certificates they use\n" +
			"for each registry, which certificate was accepted last, what the last answer was, which content they hold in\n" +
			"memory because its files are broken, and what expires soon. What needs a person comes first.\n\n" +
			"   certsd status\n" +
			"   certsd status --json\n" +
			"   certsd status --watch\n\n" +
			"The exit code is 0 if nothing needs a person, and 1 if something does, or if no daemon answers.",
		OnUsageError: usage,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print everything as JSON", Destination: &f.asJSON},
			&cli.BoolFlag{Name: "watch", Usage: "refresh every two seconds", Destination: &f.watch},
			&cli.StringFlag{Name: "containerd", Usage: "ask the containerd at `ADDRESS`", Value: imageservice.DefaultContainerd, Destination: &f.containerd},
			&cli.StringFlag{Name: "cri", Usage: "ask the image service at `ADDRESS` (default: as its configuration says)", Destination: &f.cri},
			&cli.StringFlag{Name: "state", Usage: "ask the gateway with the state directory `DIR` (default: as its configuration says)", Destination: &f.state},
			&cli.StringFlag{Name: "gateway-config", Usage: "read the gateway's address from `FILE`", Value: gatewayFile, Destination: &f.gatewayConfig},
			&cli.StringFlag{Name: "cri-config", Usage: "read the image service's address from `FILE`", Value: criFile, Destination: &f.criConfig},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return &usageError{fmt.Errorf("status takes no arguments, not %q", c.Args().First())}
			}
			finder, err := f.finder(c.IsSet)
			if err != nil {
				return &configError{err}
			}
			if f.watch {
				return f.watchAll(ctx, finder, stdout)
			}
			return f.show(stdout, finder.Ask(ctx))
		},
	}
}

type statusFlags struct {
	asJSON, watch                                    bool
	containerd, cri, state, gatewayConfig, criConfig string
}

// finder returns where to find the daemons: by the flags or, without them, by the
// daemons' configuration files.
func (f *statusFlags) finder(isSet func(string) bool) (*daemons.Finder, error) {
	g, cri := gateway.DefaultConfig(), imageservice.DefaultConfig()
	if err := loadIfThere(f.gatewayConfig, isSet("gateway-config"), g.Load); err != nil {
		return nil, err
	}
	if err := loadIfThere(f.criConfig, isSet("cri-config"), cri.Load); err != nil {
		return nil, err
	}
	if f.state != "" {
		g.State = f.state
	}
	finder := &daemons.Finder{Containerd: f.containerd, ImageService: cri.Listen, Gateway: g}
	if f.cri != "" {
		finder.ImageService = f.cri
	}
	if !isSet("containerd") && cri.Containerd != "" {
		finder.Containerd = cri.Containerd
	}
	return finder, nil
}

// loadIfThere loads a file. Unless it was asked for, it may be missing or unreadable.
func loadIfThere(file string, asked bool, load func(string) error) error {
	if !asked {
		f, err := os.Open(file) //nolint:gosec // the user names it
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err == nil {
			_ = f.Close()
		}
	}
	return load(file)
}

// watchAll shows the status repeatedly until it is interrupted.
func (f *statusFlags) watchAll(ctx context.Context, finder *daemons.Finder, stdout io.Writer) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		answers := finder.Ask(ctx)
		if ctx.Err() != nil {
			return &exitError{exitInterrupted}
		}
		if isTerminal(stdout) && !f.asJSON {
			// Move to the top and clear the screen.
			_, _ = io.WriteString(stdout, "\x1b[H\x1b[2J")
		}
		if err := f.show(stdout, answers); err != nil && !errors.As(err, new(*exitError)) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &exitError{exitInterrupted}
		}
	}
}

// statusReport is what --json prints.
type statusReport struct {
	Schema int `json:"schema"`
	// NeedsPerson reports whether something in Daemons needs a person, or no daemon
	// answers.
	NeedsPerson bool             `json:"needs_person"`
	Daemons     []*status.Status `json:"daemons"`
	// Silent are the daemons that do not report what they use.
	Silent []daemons.Answer `json:"silent"`
}

// show prints the answers, and returns the exit code as an error.
func (f *statusFlags) show(stdout io.Writer, answers []daemons.Answer) error {
	report := statusReport{Schema: status.Schema, Daemons: []*status.Status{}, Silent: []daemons.Answer{}}
	for _, a := range answers {
		if a.Status == nil {
			report.Silent = append(report.Silent, a)
			continue
		}
		report.Daemons = append(report.Daemons, a.Status)
		report.NeedsPerson = report.NeedsPerson || len(a.Status.Needs) > 0
	}
	report.NeedsPerson = report.NeedsPerson || len(report.Daemons) == 0
	var err error
	switch {
	case f.asJSON:
		err = f.printJSON(stdout, report)
	default:
		err = tellStatus(stdout, report)
	}
	if err == nil && report.NeedsPerson {
		err = &exitError{exitFailed}
	}
	return err
}

// printJSON prints a report as JSON, on one line with --watch. It makes the text safe
// for a terminal, since any user may have started a daemon.
func (f *statusFlags) printJSON(w io.Writer, report statusReport) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	if !f.watch {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(report); err != nil {
		return err
	}
	_, err := w.Write(safetext.InertJSON(text.Bytes()))
	return err
}

// tellStatus prints a report as text.
func tellStatus(w io.Writer, report statusReport) error {
	columns := columnsOf(w)
	if columns <= 0 {
		columns = status.DefaultColumns
	}
	if err := status.Tell(w, report.Daemons, columns); err != nil {
		return err
	}
	if len(report.Daemons) == 0 {
		for _, l := range wrap("Nothing on this machine uses certsd now: no daemon reports what it uses.", columns) {
			_, _ = fmt.Fprintln(w, l)
		}
	}
	for _, a := range report.Silent {
		if !a.Runs && len(report.Daemons) > 0 {
			continue
		}
		at := ""
		if a.Address != "" {
			at = " (" + a.Address + ")"
		}
		for _, l := range wrap(safetext.Line(silentTitle(a.Daemon)+at+": "+a.Why, 0), columns) {
			if _, err := fmt.Fprintln(w, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// silentTitle returns the name of a daemon that reports nothing.
func silentTitle(daemon string) string {
	if daemon == status.Plugin {
		return "containerd"
	}
	return status.Title(daemon)
}

// daemonPatience is how long check waits for daemons: it has more to do.
const daemonPatience = 3 * time.Second

// askedDaemons returns the running daemons of this machine for check. containerd is the
// configured address, if any. Daemons that may not be asked count as not running.
func askedDaemons(ctx context.Context, containerd string) []check.Daemon {
	flags := statusFlags{containerd: cmp.Or(containerd, imageservice.DefaultContainerd), gatewayConfig: gatewayFile, criConfig: criFile}
	finder, err := flags.finder(func(name string) bool { return name == "containerd" && containerd != "" })
	if err != nil {
		return nil // certsd status reports it
	}
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	var asked []check.Daemon
	for _, a := range finder.Ask(ctx) {
		if a.Status != nil || a.Stock {
			asked = append(asked, check.Daemon{Kind: a.Daemon, Status: a.Status, Why: a.Why})
		}
	}
	return asked
}
