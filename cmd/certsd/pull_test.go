package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// newDemo is a registry behind client certificates with an image of three
// layers.
func newDemo(t *testing.T) *demo {
	t.Helper()
	d, err := startDemo(filepath.Join(t.TempDir(), "certs.d"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.pushSmallImage(); err != nil {
		t.Fatal(err)
	}
	return d
}

// matches fails unless all of a text is as the pattern says.
func matches(t *testing.T, what, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text) {
		t.Errorf("%s is\n%s\nwant\n%s", what, text, pattern)
	}
}

func TestPull(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir(t.TempDir())
	d := newDemo(t)
	host := regexp.QuoteMeta(d.host)
	const hex = `[0-9a-f]`
	pull := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		code = run(t.Context(), append([]string{"certsd", "pull", "--root", d.root}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}

	code, stdout, stderr := pull(d.ref)
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	matches(t, "stdout", stdout, `pulled `+host+`/demo/hello:1\nsha256:`+hex+`{64} in oci:hello:1 \(sha256:`+hex+`{64} in the registry\)\n`)
	matches(t, "stderr", stderr, `(?:layer sha256:`+hex+`{12} +[0-9.]+ B\n){3}`)

	// What --quiet prints can be pulled, whatever the digest in the layout is.
	for _, args := range [][]string{{"--preserve-digests"}, {"--preserve-digests=false"}} {
		code, stdout, stderr = pull(append(args, "-q", "--output", t.TempDir(), d.ref)...)
		if code != exitDone || stderr != "" {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
		matches(t, "stdout", stdout, host+`/demo/hello:1@sha256:`+hex+`{64}\n`)
		if code, _, stderr = pull("--output", t.TempDir(), strings.TrimSpace(stdout)); code != exitDone {
			t.Errorf("%q: exit code %d: %s", args, code, stderr)
		}
	}
	if code, _, stderr = pull(d.ref); code != exitDone || strings.Count(stderr, "already there\n") != 3 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

func TestPullFails(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir(t.TempDir())
	d := newDemo(t)
	if err := os.MkdirAll("full/of", 0o700); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), d.host)
	if err := os.MkdirAll(broken, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "hosts.toml"), []byte("sever = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const usage = "\nRun 'certsd help' for the commands and their flags.\n"
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no reference", nil, exitUsage, "certsd: pull takes one image reference, not 0" + usage},
		{"two references", []string{"a", "b"}, exitUsage, "certsd: pull takes one image reference, not 2" + usage},
		{"no reference at all", []string{"https://x/y"}, exitUsage, `certsd: "https://x/y" is not an image reference: invalid reference format: leave out https://` + usage},
		{"no platform", []string{"--platform", "linux/?", d.ref}, exitUsage, `certsd: "linux/?" is not a platform: write OS/ARCH[/VARIANT], such as linux/arm64` + usage},
		{"a platform and all", []string{"--platform", "linux/amd64", "--all-platforms", d.ref}, exitUsage, "certsd: --platform and --all-platforms exclude each other" + usage},
		{"two targets", []string{"--output", "x", "--containerd", "y", d.ref}, exitUsage, "certsd: --output and --containerd exclude each other" + usage},
		{"no layout", []string{"--output", "full", d.ref}, exitUsage, "certsd: full: is neither empty nor an OCI image layout (no oci-layout file): name another directory" + usage},
		{"no containerd", []string{"--containerd", "none.sock", d.ref}, exitFailed, "certsd: containerd at none.sock: connect: no such file or directory: is it running there, and may this user speak to it?\n"},
		{"not there", []string{d.ref + "-1"}, exitFinal, "certsd: " + d.ref + "-1: the repository is there, but has no tag \"1-1\": name another tag: not found\n" + d.host + " ("},
		{"a broken directory", []string{"--root", filepath.Dir(broken), d.ref}, exitUsage, "certsd: " + d.ref + ": registry " + d.host + ": " + broken + `/hosts.toml:1: sever: unknown key; did you mean "server"?`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(t.Context(), append([]string{"certsd", "pull", "--root", d.root}, tt.args...), &out, &errs)
			exact := strings.HasSuffix(tt.want, ")\n") || strings.HasSuffix(tt.want, "?\n") || strings.HasSuffix(tt.want, usage)
			if code != tt.code || !strings.HasPrefix(errs.String(), tt.want) || exact && errs.String() != tt.want || out.Len() > 0 {
				t.Errorf("exit code %d:\n%s%s\nwant %d:\n%s", code, &out, &errs, tt.code, tt.want)
			}
		})
	}
	if left, err := filepath.Glob("*"); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestInterruptedPull(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir(t.TempDir())
	d := newDemo(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"certsd", "pull", "--root", d.root, d.ref}, &out, &errs)
	if want := "certsd: interrupted: nothing is complete: run the same command again\n"; code != exitInterrupted || errs.String() != want {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

func TestPullShowsAttempts(t *testing.T) {
	t.Chdir(t.TempDir())
	d := newDemo(t)
	showsAttempts(t, []string{"pull", "--root", d.root, d.ref},
		"HEAD https://"+d.host+"/v2/demo/hello/manifests/1: alpha.cert: 403 Forbidden",
		"HEAD https://"+d.host+"/v2/demo/hello/manifests/1: bravo.cert: 200 OK")
}

// showsAttempts runs a command with --debug, which must print the lines.
func showsAttempts(t *testing.T, args []string, lines ...string) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"certsd", "--debug"}, args...), &out, &errs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	for _, line := range lines {
		if want := "debug: " + line + "\n"; !strings.Contains(errs.String(), want) {
			t.Errorf("no %q in\n%s", want, &errs)
		}
	}
}
