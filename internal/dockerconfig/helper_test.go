//go:build unix

package dockerconfig

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// helpers puts programs into $PATH and returns the directory, in which a helper
// that is to be asked leaves what it wants to.
func helpers(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("HELPER_DIR", dir)
	for name, script := range scripts {
		writeFile(t, filepath.Join(dir, "docker-credential-"+name), "#!/bin/sh\n"+script, 0o700)
	}
	return dir
}

// echo answers with what it was asked as user.
const echo = `read -r name; printf '{"ServerURL":"%s","Username":"%s","Secret":"of '$(basename $0)' %s"}' "$name" "$name" "$1"`

func TestHelperOfTheMostSpecificKey(t *testing.T) {
	helpers(t, map[string]string{"one": echo, "two": echo, "store": echo})
	f := fileOf(t, `{"credHelpers":{"reg.test:5000":"one","https://old.test":"two","docker.io":"two","plain.test":""},"credsStore":"store",
		"auths":{"plain.test":`+basic("me", "secret")+`,"reg.test:5000":`+basic("wrong", "wrong")+`}}`)
	for host, want := range map[string]string{
		"reg.test:5000":        "reg.test:5000 of docker-credential-one get",
		"old.test":             "https://old.test of docker-credential-two get",
		"registry-1.docker.io": "docker.io of docker-credential-two get",
		"reg.test":             "reg.test of docker-credential-store get",
		"plain.test":           "me secret",
	} {
		user, secret, err := f.Credentials(t.Context(), host, "app")
		if got := user + " " + secret; err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", host, got, err, want)
		}
	}
	hub := fileOf(t, `{"credsStore":"store"}`)
	if user, _, err := hub.Credentials(t.Context(), "registry-1.docker.io", "library/app"); err != nil || user != indexKey {
		t.Errorf("Docker Hub: got %q, %v", user, err)
	}
}

func TestHelperAnswers(t *testing.T) {
	for _, tt := range []struct{ name, script, user, secret, err string }{
		{name: "an identity token", script: `echo '{"Username":"<token>","Secret":"t0k3n"}'`, secret: "t0k3n"},
		{name: "nothing", script: `echo 'credentials not found in native keychain'; exit 1`},
		{name: "a reason", script: `echo 'the keyring is locked'; echo s3cr3t >&2; exit 3`, err: "exit status 3: the keyring is locked; try it: "},
		{name: "a reason with escapes", script: `printf 'a\033[31mb\nmore'; exit 1`, err: "exit status 1: a [31mb; try it: "},
		{name: "the secret and a failure", script: `echo '{"Username":"me","Secret":"s3cr3t"}'; exit 1`, err: "exit status 1; try it: "},
		{name: "half an answer", script: `echo '{"Username":"me","Secret":"s3cr3t'`, err: "is not JSON with Username and Secret: try it: "},
		{name: "another type", script: `echo '{"Username":"me","Secret":5353533}'`, err: "is not JSON with Username and Secret: try it: "},
		{name: "no user", script: `echo '{"Username":"","Secret":"s3cr3t"}'`, err: "answered a secret without a user: try it: "},
		{name: "no end", script: `exec yes s3cr3t`, err: "wrote more than 256 KiB and was ended: try it: "},
		{name: "a signal", script: `kill -9 $$`, err: "signal: killed; try it: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			helpers(t, map[string]string{"x": tt.script})
			f := fileOf(t, `{"credsStore":"x"}`)
			user, secret, err := f.Credentials(t.Context(), "reg.test", "app")
			if user != tt.user || secret != tt.secret || (err != nil) != (tt.err != "") {
				t.Fatalf("got %q, %q, %v", user, secret, err)
			}
			if err == nil {
				return
			}
			text := err.Error()
			for _, want := range []string{"credentials for reg.test: ", f.Path, "docker-credential-x", tt.err} {
				if !strings.Contains(text, want) {
					t.Errorf("%s\nlacks %s", text, want)
				}
			}
			for _, leak := range []string{"s3cr3t", "5353533", "\033", "more\n"} {
				if strings.Contains(text, leak) {
					t.Errorf("%s\nhas %q", text, leak)
				}
			}
		})
	}
}

func TestHelperThatCannotBe(t *testing.T) {
	t.Parallel()
	for helper, want := range map[string]string{
		"not-there":  "docker-credential-not-there is not in the $PATH of the process that pulls",
		"../../evil": `"../../evil" cannot be the name of a credential helper`,
		"a b":        `"a b" cannot be the name of a credential helper`,
		"x\ny":       `"x\ny" cannot be the name of a credential helper`,
	} {
		f := fileOf(t, `{"credHelpers":{"reg.test":`+strconv.Quote(helper)+`}}`)
		if _, _, err := f.Credentials(t.Context(), "reg.test", "app"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestHangingHelper has one that hangs, with a child that holds its standard
// output: both are ended, and it is named.
func TestHangingHelper(t *testing.T) {
	dir := helpers(t, map[string]string{"hangs": `sleep 1000 & echo $! >"$HELPER_DIR/child"; echo $$ >"$HELPER_DIR/pid"; trap '' TERM; wait`})
	f := fileOf(t, `{"credsStore":"hangs"}`)
	f.HelperTimeout = 300 * time.Millisecond
	_, _, err := f.Credentials(t.Context(), "reg.test", "app")
	if err == nil || !strings.Contains(err.Error(), "docker-credential-hangs did not answer within 300ms and was ended: try it: echo 'reg.test' | docker-credential-hangs get") {
		t.Fatal(err)
	}
	for _, name := range []string{"pid", "child"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for alive(pid) {
			if t.Context().Err() != nil {
				t.Fatalf("%s lives", name)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// alive reports whether a process runs: one that is dead waits for its parent.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// TestHelpersAreShared has many ask at once: for one host there is one helper.
func TestHelpersAreShared(t *testing.T) {
	dir := helpers(t, map[string]string{"once": `read -r name; echo "$name" >>"$HELPER_DIR/asked"
		while [ ! -e "$HELPER_DIR/go" ]; do sleep 0.01; done; echo '{"Username":"me","Secret":"secret"}'`})
	f := fileOf(t, `{"credsStore":"once"}`)
	var all sync.WaitGroup
	var begun sync.WaitGroup
	for range 20 {
		all.Add(1)
		begun.Add(1)
		go func() {
			defer all.Done()
			begun.Done()
			if user, secret, err := f.Credentials(t.Context(), "reg.test", "app"); user != "me" || secret != "secret" || err != nil {
				t.Errorf("got %q, %q, %v", user, secret, err)
			}
		}()
	}
	begun.Wait()
	writeFile(t, filepath.Join(dir, "go"), "", 0o600)
	all.Wait()
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || bytes.Count(asked, []byte("\n")) == 20 {
		t.Errorf("asked: %s, %v", asked, err)
	}
}

// TestHelperForATerminal is what certsd pull needs: the helper may say something
// to the person who waits.
func TestHelperForATerminal(t *testing.T) {
	helpers(t, map[string]string{"asks": `echo 'touch the key' >&2; echo '{"Username":"me","Secret":"secret"}'`})
	f := fileOf(t, `{"credsStore":"asks"}`)
	var said bytes.Buffer
	f.Terminal = &said
	if user, _, err := f.Credentials(t.Context(), "reg.test", "app"); user != "me" || err != nil || said.String() != "touch the key\n" {
		t.Errorf("got %q, %v; said %q", user, err, &said)
	}
}
