package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/keys"
)

// asDaemon makes the test's own program a daemon that signs with the pair of the
// file NAME.cert, of which it is the name, and then waits.
const asDaemon = "CERTSD_PKCS11_TEST_DAEMON"

func daemon() {
	name := os.Getenv(asDaemon)
	if err := errors.Join(os.Unsetenv(asDaemon), os.Setenv(asHelper, "1")); err != nil {
		panic(err)
	}
	cert, err := os.ReadFile(name + ".cert")
	if err != nil {
		panic(err)
	}
	uri, err := os.ReadFile(name + ".key")
	if err != nil {
		panic(err)
	}
	key, err := keys.New([]string{os.Args[0]}).Helpers.Open(name+".key", uri, certtest.Certificate(cert))
	if err != nil {
		panic(err)
	}
	signed := make(chan error, 1)
	go func() {
		_, err := key.Sign(nil, make([]byte, 32), crypto.SHA256)
		signed <- err
	}()
	// One that hangs has been started all the same, and is what the test is about.
	if !bytes.Contains(uri, []byte("hangs")) {
		if err := <-signed; err != nil {
			panic(err)
		}
	}
	fmt.Println("ready")
	select {}
}

// TestHelperEndsWithTheDaemon: also where that is killed, and where the token does
// not answer.
func TestHelperEndsWithTheDaemon(t *testing.T) {
	tok := newToken(t)
	public := tok.key("k", "EC:prime256v1")
	certificate := certtest.NewCA("clients").Certify("alpha", public)
	for name, uri := range map[string]string{
		"a token that works":           tok.uri("k"),
		"a token that does not answer": strings.Replace(tok.uri("k"), tok.module, hanging(t), 1),
	} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(fmt.Sprintf("%s, %s", name, signal), func(t *testing.T) {
				pair := filepath.Join(t.TempDir(), "alpha")
				if err := errors.Join(os.WriteFile(pair+".cert", certificate, 0o600), os.WriteFile(pair+".key", []byte(uri), 0o600)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, os.Args[0])
				cmd.Env = append(os.Environ(), asDaemon+"="+pair)
				out, err := cmd.StdoutPipe()
				if err == nil {
					err = cmd.Start()
				}
				if err != nil {
					t.Fatal(err)
				}
				if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
					t.Fatalf("%q %v", line, err)
				}
				ended := endOf(ctx, t, cmd.Process.Pid)
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, out)
				_ = cmd.Wait()
				if err := ended(); err != nil {
					t.Errorf("the helper is left behind: %v", err)
				}
			})
		}
	}
}

// endOf returns a function that waits for the end of the one process that another
// has started.
func endOf(ctx context.Context, t *testing.T, starter int) func() error {
	t.Helper()
	started := childrenOf(t, starter)
	for len(started) == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
		started = childrenOf(t, starter)
	}
	if len(started) != 1 {
		t.Fatalf("the helpers are %v", started)
	}
	fd, err := unix.PidfdOpen(started[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() error {
		defer unix.Close(fd)
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		for {
			n, err := unix.Poll(poll, int((30 * time.Second).Milliseconds()))
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				return err
			case n == 0:
				return errors.Join(errors.New("it still runs"), unix.Kill(started[0], unix.SIGKILL))
			}
			return nil
		}
	}
}

// hanging is a module that does not answer.
func hanging(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, module := filepath.Join(dir, "hangs.c"), filepath.Join(dir, "hangs.so")
	text := "#include <unistd.h>\nunsigned long C_GetFunctionList(void **list) { for (;;) pause(); }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", module, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return module
}
