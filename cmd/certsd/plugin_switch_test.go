package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

const stockConfig = "version = 3\n[grpc]\n  address = \"SOCKET\"\n"

// switchable is a root with containerd's unit, containerds of some lines with the
// plugin, and a systemctl that writes down what it was told.
type switchable struct {
	root, socket string
}

// newSwitchable has programs that read the configuration as containerd does.
func newSwitchable(t *testing.T, config string, lines ...string) *switchable {
	t.Helper()
	m := &switchable{root: t.TempDir(), socket: filepath.Join(t.TempDir(), "sock")}
	m.write(t, "/lib/systemd/system/containerd.service", "[Service]\nExecStart=/usr/bin/containerd\n", 0o644)
	m.write(t, "/etc/containerd/config.toml", strings.ReplaceAll(config, "SOCKET", m.socket), 0o640)
	m.write(t, "/run/systemd/system/there", "", 0o644)
	for _, line := range lines {
		dir := "/usr/lib/containerd-certsd/" + line
		m.write(t, dir+"/containerd", "#!/bin/sh\n[ \"$1 $3 $4\" = '--config config dump' ] || exit 9\nif grep -q refused \"$2\"; then echo 'refused: unknown key' >&2; exit 1; fi\ncat \"$2\" "+m.root+"/dump 2>/dev/null || true\n", 0o755)
		m.write(t, dir+"/ctr", "#!/bin/sh\n[ \"$2 $3 $4\" = '"+m.socket+" plugins ls' ] && for t in internal transfer grpc; do echo io.containerd.$t.v1 certsd - ok; done\n", 0o755)
	}
	m.write(t, "/bin/systemctl", "#!/bin/sh\necho \"$*\" >> "+m.root+"/told\nif [ \"$1\" = restart ] && [ -e "+m.root+"/fails ]; then rm "+m.root+"/fails; echo 'Job failed' >&2; exit 1; fi\n", 0o755)
	t.Setenv("PATH", filepath.Join(m.root, "bin")+":"+os.Getenv("PATH"))
	return m
}

func (m *switchable) write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	file := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// plugin runs certsd plugin.
func (m *switchable) plugin(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return m.pluginIn(t.Context(), args...)
}

// pluginIn runs certsd plugin until a context ends.
func (m *switchable) pluginIn(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	s := &pluginSwitch{stdout: &out, stderr: &errs, root: m.root}
	c := s.command()
	c.Writer, c.ErrWriter, c.ExitErrHandler = &out, &errs, command(&out, &errs).ExitErrHandler
	code = exitCode(ctx, c.Run(ctx, append([]string{"plugin"}, args...)), &errs)
	return code, out.String(), errs.String()
}

// told is what systemctl was told since the last call.
func (m *switchable) told(t *testing.T) string {
	t.Helper()
	file := filepath.Join(m.root, "told")
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	_ = os.Remove(file)
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", ", ")
}

// etc are the files of the machine that may change.
func (m *switchable) etc(t *testing.T) map[string]string {
	t.Helper()
	return filesOf(t, filepath.Join(m.root, "etc"))
}

// answers lets a containerd with the plugin answer, or a stock one.
func (m *switchable) answers(t *testing.T, plugin bool) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	if plugin {
		statusrpc.Register(server, func() *status.Status { return &status.Status{Schema: status.Schema, Daemon: status.Plugin} })
	}
	go server.Serve(l) //nolint:errcheck // it is stopped
	t.Cleanup(server.Stop)
}

const (
	dropInOf = "/systemd/system/containerd.service.d/zz-certsd.conf"
	restarts = "daemon-reload, restart containerd.service"
)

// TestPluginThereAndBack is what an operator does, and sees.
func TestPluginThereAndBack(t *testing.T) {
	m := newSwitchable(t, stockConfig, "2.3")
	m.answers(t, true)
	before := m.etc(t)

	code, out, errs := m.plugin(t, "enable", "--dry-run")
	if code != 0 || errs != "" || !strings.Contains(out, "+ExecStart=/usr/lib/containerd-certsd/2.3/containerd") || !strings.Contains(out, "+disabled_plugins = ") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	same(t, before, m.etc(t))

	code, shown, errs := m.plugin(t, "enable")
	if code != 0 || shown != out || !strings.Contains(errs, "from its next start") || !strings.HasSuffix(errs, ": systemctl restart containerd\n") {
		t.Errorf("exit code %d: %s%s", code, shown, errs)
	}
	if told := m.told(t); told != "daemon-reload" {
		t.Errorf("systemctl was told %q", told)
	}
	if text := m.etc(t)[dropInOf]; !strings.Contains(text, "containerd-certsd/2.3") {
		t.Errorf("the drop-in is %q", text)
	}

	code, out, errs = m.plugin(t, "enable", "--line", "2.3")
	if code != 0 || out != "" || !strings.HasPrefix(errs, "nothing to change\n") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}

	m.write(t, "/proc/7/there", "", 0o644)
	if err := os.Symlink("/usr/lib/containerd-certsd/2.3/containerd-shim-runc-v2", filepath.Join(m.root, "proc/7/exe")); err != nil {
		t.Fatal(err)
	}
	after := m.etc(t)
	code, out, errs = m.plugin(t, "disable", "--dry-run")
	if code != 0 || !strings.Contains(out, "-ExecStart=/usr/lib/containerd-certsd/2.3/containerd") || !strings.Contains(errs, "a containerd 1.x does not know the") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	same(t, after, m.etc(t))
	m.told(t)

	code, _, errs = m.plugin(t, "disable")
	if code != 0 || !strings.Contains(errs, "as before from its next start") || !strings.HasSuffix(errs, ": systemctl restart containerd\n") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if told := m.told(t); told != "daemon-reload" {
		t.Errorf("systemctl was told %q", told)
	}
	same(t, before, m.etc(t))
	if code, out, errs = m.plugin(t, "disable", "--now"); code != 0 || out != "" || errs != "nothing to change\n" || m.told(t) != "" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// TestPluginNow restarts containerd, there and back.
func TestPluginNow(t *testing.T) {
	m := newSwitchable(t, stockConfig, "2.2", "2.4")
	m.answers(t, true)
	before := m.etc(t)
	code, _, errs := m.plugin(t, "enable", "--line", "2.4", "--now")
	if code != 0 || !strings.HasPrefix(errs, "containerd runs with the plugin") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if told := m.told(t); told != restarts {
		t.Errorf("systemctl was told %q", told)
	}
	// The other line is not the one that is started.
	if code, _, errs := m.plugin(t, "disable", "--line", "2.2"); code != 0 || errs != "nothing to change\n" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs := m.plugin(t, "disable", "--line", "2.4", "--now"); code != 0 || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if told := m.told(t); told != restarts {
		t.Errorf("systemctl was told %q", told)
	}
	same(t, before, m.etc(t))
}

// TestPluginIsPutBack where containerd does not come up with it.
func TestPluginIsPutBack(t *testing.T) {
	for what, tt := range map[string]struct {
		fails, plugin bool
		says          string
	}{
		"the restart fails":         {fails: true, plugin: true, says: "systemctl restart containerd.service: exit status 1: Job failed"},
		"a stock containerd starts": {says: "this containerd is a stock one, without the plugin"},
	} {
		t.Run(what, func(t *testing.T) {
			m := newSwitchable(t, stockConfig, "2.3")
			m.answers(t, tt.plugin)
			if tt.fails {
				m.write(t, "/fails", "", 0o644)
			}
			before := m.etc(t)
			code, _, errs := m.plugin(t, "enable", "--now")
			if code != exitFailed || !strings.Contains(errs, tt.says) || !strings.Contains(errs, "all is put back; journalctl -u containerd says why") {
				t.Errorf("exit code %d: %s", code, errs)
			}
			if told := m.told(t); told != restarts+", "+restarts {
				t.Errorf("systemctl was told %q", told)
			}
			same(t, before, m.etc(t))
		})
	}
}

// TestPluginIsPutBackAfterInterrupt while it waits for containerd to have the plugin.
func TestPluginIsPutBackAfterInterrupt(t *testing.T) {
	m := newSwitchable(t, stockConfig, "2.3")
	waits := filepath.Join(m.root, "waits")
	if err := syscall.Mkfifo(waits, 0o600); err != nil {
		t.Fatal(err)
	}
	m.write(t, "/usr/lib/containerd-certsd/2.3/ctr", "#!/bin/sh\necho asked >"+waits+"\n", 0o755)
	before := m.etc(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		_, _ = os.ReadFile(waits) // until ctr is asked
		interrupt()
	}()
	code, _, errs := m.pluginIn(ctx, "enable", "--now")
	if code == exitDone || !strings.Contains(errs, "all is put back") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if told := m.told(t); told != restarts+", "+restarts {
		t.Errorf("systemctl was told %q", told)
	}
	same(t, before, m.etc(t))
}

// TestPluginChangesNothing of what it cannot do.
func TestPluginChangesNothing(t *testing.T) {
	for what, tt := range map[string]struct {
		config string
		dump   string // of other files
		lines  []string
		args   string
		code   int
		says   string
	}{
		"none is installed":    {args: "enable", code: exitUsage, says: "0 containerds with the plugin are installed: "},
		"two are installed":    {lines: []string{"2.3", "2.4"}, args: "enable", code: exitUsage, says: "2 containerds with the plugin are installed: "},
		"another is installed": {lines: []string{"2.3"}, args: "enable --line 2.4", code: exitUsage, says: "install the package containerd-certsd-2.4"},
		"no such line":         {lines: []string{"2.3"}, args: "enable --line 1.7", code: exitUsage, says: `--line: "1.7" is not one of the lines 2.2 2.3 2.4`},
		"an argument":          {lines: []string{"2.3"}, args: "enable 2.3", code: exitUsage, says: `certsd plugin enable takes no arguments, not "2.3"`},
		"a flag that it lacks": {lines: []string{"2.3"}, args: "enable --force", code: exitUsage, says: "-force"},
		"no such command":      {lines: []string{"2.3"}, args: "install", code: exitUsage, says: `"install"`},
		"no TOML":              {config: "version = \n", lines: []string{"2.3"}, args: "enable", code: exitUsage, says: "/etc/containerd/config.toml: "},
		"containerd refuses it": {
			config: stockConfig + "# refused\n", lines: []string{"2.3"}, args: "enable", code: exitFailed,
			says: "nothing is changed: exit status 1: refused: unknown key",
		},
		"what it reads is no TOML": {dump: "\n= ", lines: []string{"2.3"}, args: "enable", code: exitFailed, says: "config dump: "},
		"another snapshotter": {
			config: stockConfig + "[plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'btrfs'\n", lines: []string{"2.3"}, args: "enable", code: exitFailed,
			says: "the snapshotter is btrfs",
		},
	} {
		t.Run(what, func(t *testing.T) {
			config := tt.config
			if config == "" {
				config = stockConfig
			}
			m := newSwitchable(t, config, tt.lines...)
			if tt.dump != "" {
				m.write(t, "/dump", tt.dump, 0o644)
			}
			before := m.etc(t)
			code, _, errs := m.plugin(t, strings.Fields(tt.args)...)
			if code != tt.code || !strings.Contains(errs, tt.says) {
				t.Errorf("exit code %d: %s", code, errs)
			}
			same(t, before, m.etc(t))
			if told := m.told(t); told != "" {
				t.Errorf("systemctl was told %q", told)
			}
		})
	}
}

// TestPluginIsNotTakenForLoaded where another file of containerd's configuration says
// which plugins are disabled.
func TestPluginIsNotTakenForLoaded(t *testing.T) {
	m := newSwitchable(t, stockConfig, "2.3")
	m.write(t, "/usr/lib/containerd-certsd/2.3/containerd", "#!/bin/sh\necho 'disabled_plugins = []'\n", 0o755)
	before := m.etc(t)
	code, _, errs := m.plugin(t, "enable")
	if code != exitFailed || !strings.Contains(errs, "does not disable io.containerd.transfer.v1.local ") || !strings.Contains(errs, "nothing is changed") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	same(t, before, m.etc(t))
}

func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	for name, text := range want {
		if !strings.HasPrefix(text, "d") && got[name] != text {
			t.Errorf("%s was %q and is %q", name, text, got[name])
		}
	}
	for name, text := range got {
		if _, ok := want[name]; !ok && !strings.HasPrefix(text, "d") {
			t.Errorf("%s is left: %q", name, text)
		}
	}
}
