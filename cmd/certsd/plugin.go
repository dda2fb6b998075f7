package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/imageservice"
	"github.com/certsd/containerd-certsd/internal/daemons"
	"github.com/certsd/containerd-certsd/internal/takeover"
)

const pluginDescription = `The packages containerd-certsd-2.2, -2.3 and -2.4 install a containerd with the
plugin alongside the machine's own containerd. enable makes systemd start it. It
adds a drop-in for containerd.service, which keeps all options of the unit, and
the lines that the plugin needs in containerd's configuration. It shows both as
a diff, and writes them once the new containerd has read the new configuration
without an error. It keeps the old configuration next to the new one. disable
undoes this.

Without --now, nothing is restarted. With --now, containerd restarts and
containers keep running. If containerd does not come up with the plugin, enable
puts everything back and restarts the old one.

Examples:

    certsd plugin enable --line 2.3 --dry-run
    certsd plugin enable --line 2.3 --now
    certsd plugin disable --now`

func pluginCommand(stdout, stderr io.Writer) *cli.Command {
	return (&pluginSwitch{stdout: stdout, stderr: stderr}).command()
}

func (s *pluginSwitch) command() *cli.Command {
	flags := func(line string) []cli.Flag {
		return []cli.Flag{
			&cli.StringFlag{Name: "line", Usage: line},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would change, and change nothing"},
			&cli.BoolFlag{Name: "now", Usage: "restart containerd"},
		}
	}
	return &cli.Command{
		Name:         "plugin",
		Usage:        "switch systemd to the containerd with the plugin, or back",
		Description:  pluginDescription,
		OnUsageError: usage,
		Commands: []*cli.Command{
			{
				Name: "enable", Usage: "start containerd with the plugin", ArgsUsage: " ", OnUsageError: usage,
				Flags:  flags("start the release `LINE`, such as 2.3 (default: the only one installed)"),
				Action: s.action(s.enable),
			},
			{
				Name: "disable", Usage: "start the previous containerd again", ArgsUsage: " ", OnUsageError: usage,
				Flags:  flags("go back only if systemd starts the release `LINE`"),
				Action: s.action(s.disable),
			},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			return &usageError{fmt.Errorf("enable or disable? certsd plugin does not know %q", strings.Join(c.Args().Slice(), " "))}
		},
	}
}

// pluginSwitch implements enable and disable.
type pluginSwitch struct {
	stdout, stderr io.Writer
	// root is prepended to all paths, for tests; empty means "/".
	root string
}

func (s *pluginSwitch) at(path string) string { return filepath.Join("/", s.root, path) }

func (s *pluginSwitch) action(run func(context.Context, *cli.Command, takeover.Options) error) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		if c.Args().Present() {
			return &usageError{fmt.Errorf("certsd plugin %s takes no arguments, not %q", c.Name, c.Args().First())}
		}
		line := c.String("line")
		if line != "" && !slices.Contains(strings.Split(lines, " "), line) {
			return &usageError{fmt.Errorf("--line: %q is not one of the lines %s", line, lines)}
		}
		return run(ctx, c, takeover.Options{
			Root:   s.root,
			Line:   line,
			Check:  func(program, config string) error { return readsConfig(ctx, program, config) },
			Reload: func() error { return s.systemctl(ctx, "daemon-reload") },
		})
	}
}

// lines are the release lines that have packages.
const lines = "2.2 2.3 2.4"

func (s *pluginSwitch) enable(ctx context.Context, c *cli.Command, o takeover.Options) error {
	if o.Line == "" {
		found, _ := filepath.Glob(s.at(takeover.Program("*")))
		if len(found) != 1 {
			return &usageError{fmt.Errorf("%d containerds with the plugin are installed: give --line LINE, and install containerd-certsd-LINE first: %s", len(found), lines)}
		}
		o.Line = filepath.Base(filepath.Dir(found[0]))
	}
	plan, err := takeover.Enable(o)
	if err != nil {
		return &configError{err}
	}
	if err := s.write(c, plan); err != nil || c.Bool("dry-run") {
		return err
	}
	if !c.Bool("now") {
		fmt.Fprintln(s.stderr, "containerd will run with the plugin from its next start: systemctl restart containerd")
		return nil
	}
	if err = s.systemctl(ctx, "restart", "containerd.service"); err == nil {
		err = runsPlugin(ctx, s.at(takeover.Program(o.Line)), s.at(plan.Config.Path))
	}
	if err == nil {
		fmt.Fprintln(s.stderr, "containerd runs with the plugin")
		return nil
	}
	// Undo everything even after Ctrl-C.
	lasting := context.WithoutCancel(ctx)
	o.Reload = func() error { return s.systemctl(lasting, "daemon-reload") }
	back, e := takeover.Disable(o)
	if e == nil {
		e = errors.Join(back.Write(), s.systemctl(lasting, "restart", "containerd.service"))
	}
	return errors.Join(fmt.Errorf("%w: all is put back; journalctl -u containerd says why", err), e)
}

func (s *pluginSwitch) disable(ctx context.Context, c *cli.Command, o takeover.Options) error {
	plan, err := takeover.Disable(o)
	if err != nil {
		return &configError{err}
	}
	nothing := plan.Nothing()
	if n := shims(s.at("/proc"), o.Line); !nothing && n > 0 {
		fmt.Fprintf(s.stderr, "%d shims of it run containers: a containerd 1.x does not know these shims and ends their containers; a containerd 2 takes them over\n", n)
	}
	if err := s.write(c, plan); err != nil || nothing || c.Bool("dry-run") {
		return err
	}
	if !c.Bool("now") {
		fmt.Fprintln(s.stderr, "containerd will run as before from its next start: systemctl restart containerd")
		return nil
	}
	return s.systemctl(ctx, "restart", "containerd.service")
}

// shims counts the shim processes of a release line, or of all lines if line is empty.
func shims(proc, line string) int {
	links, _ := filepath.Glob(filepath.Join(proc, "[0-9]*", "exe"))
	ours := takeover.Program(cmp.Or(line, "*"))
	n := 0
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil {
			continue
		}
		dir, name := filepath.Split(strings.TrimSuffix(program, " (deleted)"))
		if same, _ := filepath.Match(filepath.Dir(ours)+"/", dir); same && name == "containerd-shim-runc-v2" {
			n++
		}
	}
	return n
}

// write prints a plan and carries it out.
func (s *pluginSwitch) write(c *cli.Command, plan *takeover.Plan) error {
	if plan.Nothing() {
		fmt.Fprintln(s.stderr, "nothing to change")
		return nil
	}
	if _, err := s.stdout.Write(plan.Diff()); err != nil || c.Bool("dry-run") {
		return err
	}
	return plan.Write()
}

// configDump is the part of "containerd config dump" that is looked at.
type configDump struct {
	DisabledPlugins []string                  `toml:"disabled_plugins"`
	Plugins         map[string]map[string]any `toml:"plugins"`
	GRPC            struct {
		Address string `toml:"address"`
	} `toml:"grpc"`
}

// dumpConfig returns a configuration as a containerd reads it.
func dumpConfig(ctx context.Context, program, config string) (*configDump, error) {
	cmd := exec.CommandContext(ctx, program, "--config", config, "config", "dump") //nolint:gosec // the program of the package
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s refuses the new configuration, nothing is changed: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	dump := new(configDump)
	if err := toml.Unmarshal(out, dump); err != nil {
		return nil, fmt.Errorf("%s config dump: %w", program, err)
	}
	return dump, nil
}

// socket returns the address containerd serves on, which a plugin sets since 2.3.
func (d *configDump) socket() string {
	served, _ := d.Plugins["io.containerd.server.v1.grpc"]["address"].(string)
	return cmp.Or(served, d.GRPC.Address, imageservice.DefaultContainerd)
}

// readsConfig checks that a containerd can read a configuration and would run the
// plugin with it.
func readsConfig(ctx context.Context, program, config string) error {
	dump, err := dumpConfig(ctx, program, config)
	if err != nil {
		return err
	}
	for _, name := range []string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"} {
		if !slices.Contains(dump.DisabledPlugins, name) {
			return fmt.Errorf("%s does not disable %s with the new configuration, nothing is changed: does another file set disabled_plugins?", program, name)
		}
	}
	images := dump.Plugins["io.containerd.cri.v1.images"]
	if images["snapshotter"] == "btrfs" {
		return fmt.Errorf("the snapshotter is btrfs, which %s does not have, nothing is changed: make build builds one with it", program)
	}
	return nil
}

// systemctl runs systemctl if systemd is running.
func (s *pluginSwitch) systemctl(ctx context.Context, args ...string) error {
	if _, err := os.Stat(s.at("/run/systemd/system")); err != nil {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil { //nolint:gosec // none of the words is read from anywhere
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// runsPlugin waits until containerd reports its plugins as loaded, and checks that they
// answer as for certsd status.
func runsPlugin(ctx context.Context, program, config string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dump, err := dumpConfig(ctx, program, config)
	if err != nil {
		return err
	}
	if err := loadsPlugin(ctx, filepath.Join(filepath.Dir(program), "ctr"), dump.socket()); err != nil {
		return err
	}
	answer := (&daemons.Finder{Containerd: dump.socket()}).AskContainerd(ctx)
	if answer.Status == nil {
		return fmt.Errorf("containerd at %s does not answer certsd status: %s", answer.Address, answer.Why)
	}
	return nil
}

func loadsPlugin(ctx context.Context, ctr, socket string) error {
	for {
		out, err := exec.CommandContext(ctx, ctr, "--address", socket, "plugins", "ls").CombinedOutput() //nolint:gosec // the program of the package
		loaded := 0
		for row := range strings.Lines(string(out)) {
			if f := strings.Fields(row); len(f) > 2 && f[1] == "certsd" && f[len(f)-1] == "ok" {
				loaded++
			}
		}
		if loaded == 3 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("containerd does not run with the plugin: %s --address %s plugins ls: %v: %s", ctr, socket, err, strings.TrimSpace(string(out)))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
