package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc"

	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

// machine has sockets of daemons.
type machine struct {
	t    *testing.T
	dir  string
	args []string
}

func newMachine(t *testing.T) *machine {
	dir := t.TempDir()
	return &machine{t: t, dir: dir, args: []string{
		"certsd", "status", "--containerd", filepath.Join(dir, "containerd"), "--cri", "unix:" + filepath.Join(dir, "cri"),
		"--state", filepath.Join(dir, "state"), "--gateway-config", writeFile(t, "listen = ['127.0.0.1:1']\n"),
	}}
}

// serve has somebody listen at a socket; st is what it answers, nil for nothing.
func (m *machine) serve(name string, st *status.Status) {
	m.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(m.t.Context(), "unix", filepath.Join(m.dir, name))
	if err != nil {
		m.t.Fatal(err)
	}
	server := grpc.NewServer()
	if st != nil {
		statusrpc.Register(server, func() *status.Status { return st })
	}
	go server.Serve(l) //nolint:errcheck // it is stopped
	m.t.Cleanup(server.Stop)
}

// status runs the command.
func (m *machine) status(args ...string) (code int, out string) {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(m.t.Context(), append(m.args, args...), &stdout, &stderr)
	if stderr.Len() > 0 {
		m.t.Errorf("on standard error: %s", &stderr)
	}
	return code, stdout.String()
}

func TestStatusWhereNothingRuns(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	code, out := m.status()
	for _, want := range []string{"Nothing on this machine uses certsd now", "no containerd runs", "no gateway runs", "no certsd cri runs"} {
		if code != exitFailed || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Errorf("exit code %d, no %q in:\n%s", code, want, out)
		}
	}
}

func TestStatusOfStockContainerd(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.serve("containerd", nil)
	code, out := m.status()
	if code != exitFailed || !strings.Contains(strings.Join(strings.Fields(out), " "), "this containerd is a stock one, without the plugin") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	// Where another daemon does the work that is no reason to call somebody.
	m.serve("cri", &status.Status{Schema: 1, Daemon: status.ImageService})
	code, out = m.status()
	if code != exitDone || !strings.Contains(out, "certsd cri at") || !strings.Contains(strings.Join(strings.Fields(out), " "), "without the plugin") {
		t.Errorf("with the image service: exit code %d:\n%s", code, out)
	}
}

func TestStatusOfAll(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.serve("containerd", &status.Status{Schema: 1, Daemon: status.Plugin, Version: "certsd-1", Containerd: "v2.4.2", CRI: status.CRIUses, Roots: []string{"/a"}})
	if code, out := m.status(); code != exitDone || !strings.HasPrefix(out, "containerd with the plugin certsd-1 at") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	m.serve("cri", &status.Status{Schema: 1, Daemon: status.ImageService, Needs: []status.Need{{Code: status.NeedMemory, Registry: "reg.test", What: "from memory"}}})
	code, out := m.status()
	if code != exitFailed || !strings.HasPrefix(out, "NEEDS A PERSON\n  certsd cri, reg.test: from memory\n") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	code, out = m.status("--json")
	var report statusReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if code != exitFailed || !report.NeedsPerson || len(report.Daemons) != 2 || report.Daemons[0].CRI != status.CRIUses ||
		len(report.Silent) != 1 || report.Silent[0].Daemon != status.Gateway || report.Silent[0].Runs {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestStatusOfSomebodyElseIsInert: whoever listens at the address may say anything.
func TestStatusOfSomebodyElseIsInert(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b[2J\u009b31m\u202egnp\x7f\U000e0001"
	m := newMachine(t)
	m.serve("cri", &status.Status{
		Schema: 1, Daemon: evil, Version: evil, Containerd: evil, CRI: evil, Roots: []string{evil}, Idle: []string{evil},
		Needs: []status.Need{{Code: evil, Registry: evil, What: evil, Next: evil}},
		Work:  []status.Work{{Kind: evil, Ref: evil}},
	})
	for _, args := range [][]string{nil, {"--json"}} {
		_, out := m.status(args...)
		if !strings.Contains(out, "gnp") {
			t.Errorf("%v: nothing is said: %s", args, out)
		}
		for _, r := range out {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%v: %U is in %q", args, r, out)
			}
		}
		var report statusReport
		if len(args) > 0 && (json.Unmarshal([]byte(out), &report) != nil || report.Daemons[0].Version != evil) {
			t.Errorf("%v: %q is not what was said", args, out)
		}
	}
}

func TestStatusOfAGateway(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	config := gateway.DefaultConfig()
	config.Root, config.State, config.Listen = registries(t, "reg.test"), filepath.Join(m.dir, "state"), []string{"127.0.0.1:0"}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- config.Run(ctx, nil, func([]net.Addr) { close(ready) }) }()
	<-ready
	_, out := m.status()
	if !strings.Contains(out, "certsd gateway") || !strings.Contains(out, config.Root) || !strings.Contains(out, "secret     0 seconds old") {
		t.Errorf("got:\n%s", out)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestStatusMistakesAreExitCode2(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`status takes no arguments, not "reg.test"`: {"reg.test"},
		"/none/gateway.toml":                        {"--gateway-config", "/none/gateway.toml"},
		"unknown key":                               {"--cri-config", writeFile(t, "listn = ''\n")},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), append([]string{"certsd", "status"}, args...), &out, &errs); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit code %d: %s", args, code, &errs)
		}
	}
}

func TestStatusWatchesUntilInterrupted(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.serve("cri", &status.Status{Schema: 1, Daemon: status.ImageService})
	ctx, interrupt := context.WithCancel(t.Context())
	seen := &firstWrite{done: interrupt}
	var errs bytes.Buffer
	if code := run(ctx, append(m.args, "--watch", "--json"), seen, &errs); code != exitInterrupted || seen.lines != 1 {
		t.Errorf("exit code %d after %d lines: %s", code, seen.lines, &errs)
	}
}

// firstWrite ends what writes to it.
type firstWrite struct {
	done  func()
	lines int
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.lines += bytes.Count(p, []byte("\n"))
	w.done()
	return len(p), nil
}

// writeFile makes a file.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
