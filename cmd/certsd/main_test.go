package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Shells that complete run this binary in certsd's place.
	if os.Getenv("RUN_AS_CERTSD") != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestDemoPullsWithTheSecondCertificate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"certsd", "demo"}, &out, &errs); code != exitDone {
		t.Fatalf("exit code %d: %s%s", code, &out, &errs)
	}
	for _, want := range []string{
		`HEAD /v2/demo/hello/manifests/1 +alpha\.cert +403 Forbidden`,
		`HEAD /v2/demo/hello/manifests/1 +bravo\.cert +200 OK`,
		`GET /v2/demo/hello/blobs/sha256:\w+… +bravo\.cert +200 OK`,
		`The image is sha256:[0-9a-f]{64}`,
		`\$ certsd check --root \S+ 127\.0\.0\.1:\d+/demo/hello:1\n +verdict \S+ works: a pull would work, with bravo\.cert\n`,
		`\$ certsd copy .*/demo/copy:1\n +1: sha256:[0-9a-f]{64} copied; .*\n +1 tag: 1 copied, 0 identical, 0 failed; `,
		`\$ certsd migrate .*\n( +.*\n)*? +\+\+\+ .*/hosts\.toml\n`,
		`with the gateway's secret and no certificate: 200 OK, sha256:[0-9a-f]{64}\n`,
		`\$ certsd status .*\n( +.*\n)*? +certsd gateway .*\bat 127\.0\.0\.1:\d+`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line matches %q in:\n%s", want, &out)
		}
	}
	if n := len(regexp.MustCompile(`alpha\.cert +403`).FindAllString(out.String(), -1)); n != 1 {
		t.Errorf("alpha.cert was presented %d times, want once:\n%s", n, &out)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestDemoServesUntilInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"certsd", "demo", "--serve", dir}, &out, &errs); code != exitDone {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	ref, err := os.ReadFile(filepath.Join(dir, "ref"))
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(string(ref), "/")
	if _, err := os.Stat(filepath.Join(dir, "certs.d", host, "bravo.key")); err != nil {
		t.Error(err)
	}
}

func TestWrongUsageIsExitCode2(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"certsd", "pul"},
		{"certsd", "--nonsense"},
		{"certsd", "demo", "--nonsense"},
		{"certsd", "demo", "surplus"},
		{"certsd", "check", "--root", ":", "reg.test"},
		{"certsd", "migrate", "--root", ":"},
		{"certsd", "help", "nosuch"},
		{"certsd", "demo", "help", "nosuch"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d: %s", args, code, exitUsage, &errs)
		}
		if !strings.Contains(errs.String(), "certsd help") {
			t.Errorf("%v: no next step in %q", args, &errs)
		}
	}
}

func TestHelpIsExitCode0(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"certsd"}, {"certsd", "help"}, {"certsd", "demo", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitDone || !strings.Contains(out.String(), "demo") {
			t.Errorf("%v: exit code %d, output %q %q", args, code, &out, &errs)
		}
	}
}
