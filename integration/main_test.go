//go:build linux

package integration

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// onMachine is set in the environment of a process that runs one script.
const onMachine = "CERTSD_INTEGRATION_MACHINE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(onMachine); dir != "" {
		if err := setUpMachine(dir); err != nil {
			os.Stderr.WriteString("setting up the machine: " + err.Error() + "\n")
			os.Exit(1)
		}
	}
	testscript.Main(m, map[string]func(){
		"get":         getMain,
		"hostile":     hostileMain,
		"took":        tookMain,
		"cri-pull":    criPullMain,
		"cri-kill":    criKillMain,
		"cri-record":  criRecordMain,
		"cri-remove":  criRemoveMain,
		"cri-soak":    criSoakMain,
		"docker-pull": dockerPullMain,
	})
}

// TestScripts runs every script of testdata, each on its own machine.
func TestScripts(t *testing.T) {
	if os.Getenv(onMachine) != "" {
		testscript.Run(t, params(flag.Arg(0)))
		return
	}
	requireRoot(t)
	requireLine(t)
	requirePrograms(t)
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { removeCgroups(name) })
			runOnMachine(t, script)
		})
	}
}

// runOnMachine runs this test binary once more, for one script, in namespaces
// of its own. The first process of a process namespace takes all others with
// it when it ends, so no daemon survives its script.
func runOnMachine(t *testing.T, script string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Pdeathsig is sent when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(deadline(t), exe, "-test.run=^TestScripts$", "-test.v=true", script)
	cmd.Env = append(os.Environ(), onMachine+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// deadline is the context of a test that ends before the test's own deadline,
// so that what a stuck script wrote is still reported.
func deadline(t *testing.T) context.Context {
	t.Helper()
	end, ok := t.Deadline()
	if !ok {
		return t.Context()
	}
	ctx, cancel := context.WithDeadline(t.Context(), end.Add(-machineGrace))
	t.Cleanup(cancel)
	return ctx
}
