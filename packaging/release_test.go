//go:build linux

package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is what is here, as a repository of its own with one commit, and one
// that it would push to.
func repository(t *testing.T) string {
	t.Helper()
	built(t)
	dir := filepath.Join(t.TempDir(), "repository")
	output(t, "sh", "-c", `
mkdir "$2"
tar -C "$1" --exclude=./.git --exclude=./.cache --exclude=./bin --exclude=./dist --exclude=./share -cf - . | tar -C "$2" -xf -
cd "$2"
git init -q -b main
printf 'package certsd\n\n// Called is for programs.\nfunc Called() {}\n' >certsd/called.go
git config user.name release
git config user.email release@registry.example
git add -A
git commit -q -m all
git init -q --bare ../origin
git remote add origin ../origin
git push -q origin main
ln -s "$(readlink -f "$1/.cache")" .cache`, "sh", filepath.Dir(here(t)), dir)
	return dir
}

// release runs make release, with the command for one architecture as all of its
// packages.
func release(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-s", "release"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LINES=", "ARCHES=amd64", "FORMATS=tar")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// state is what a release that is refused must not change.
func state(t *testing.T, dir string) string {
	t.Helper()
	return output(t, "sh", "-c", `cd "$1" && git rev-parse HEAD && git tag && git status --short && git ls-remote origin && ls dist 2>/dev/null || true`, "sh", dir)
}

func TestRelease(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	git := func(args ...string) string { return output(t, "git", append([]string{"-C", dir}, args...)...) }

	refused := func(want string, args ...string) {
		t.Helper()
		before := state(t, dir)
		if out, err := release(t, dir, args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%q: %v, want %q in\n%s", args, err, want, out)
		}
		if after := state(t, dir); after != before {
			t.Errorf("%q has changed\n%s\nto\n%s", args, before, after)
		}
	}
	for _, version := range []string{"", "1.2.3", "v1.2", "v01.2.3", "v1.2.3-beta", "v1.2.3;true", "main"} {
		refused("is not like v1.2.3", "VERSION="+version)
	}
	stray := filepath.Join(dir, "stray")
	if err := os.WriteFile(stray, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refused("there is what is not committed", "VERSION=v0.1.0")
	if err := os.Remove(stray); err != nil {
		t.Fatal(err)
	}

	before := state(t, dir)
	out, err := release(t, dir, "VERSION=v0.1.0-rc.1", "DRY_RUN=yes")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, "a dry run", out, "+## [0.1.0-rc.1] - ", "There is no tag yet", "- containerd-certsd-2.3: containerd v2.3.")
	if after := state(t, dir); after != before {
		t.Errorf("a dry run has changed\n%s\nto\n%s", before, after)
	}

	key := filepath.Join(t.TempDir(), "key")
	output(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	if out, err = release(t, dir, "VERSION=v0.1.0", "SIGNING_KEY="+key); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, "released", out, "git push --atomic origin main v0.1.0")
	if git("rev-parse", "HEAD") != git("rev-parse", "v0.1.0^{commit}") || git("status", "--porcelain") != "" {
		t.Error("the tag is not what is checked out")
	}
	expect(t, "tag", git("cat-file", "tag", "v0.1.0"), "### Added\n", "BEGIN SSH SIGNATURE")
	expect(t, "changelog", git("show", "HEAD:CHANGELOG.md"), "## [Unreleased]\n\n## [0.1.0] - 20", "/compare/v0.1.0...main\n[0.1.0]: ")
	expect(t, "packages", output(t, "ls", filepath.Join(dir, "dist/v0.1.0")), "certsd_0.1.0_linux_amd64.tar.gz", "SHA256SUMS.sig")
	if remote := git("ls-remote", "origin"); strings.Contains(remote, "v0.1.0") || strings.Contains(remote, strings.TrimSpace(git("rev-parse", "HEAD"))) {
		t.Errorf("it has been pushed:\n%s", remote)
	}

	refused("v0.1.0 is there already", "VERSION=v0.1.0")
	refused("v0.1.0-rc.1 is not after v0.1.0", "VERSION=v0.1.0-rc.1")
	refused("CHANGELOG.md says nothing under Unreleased", "VERSION=v0.1.1")

	// What programs may call is gone.
	output(t, "sh", "-c", `cd "$1"
sed -i 's/^## \[Unreleased\]$/&\n\n### Removed\n\n- A function./' CHANGELOG.md
git rm -q certsd/called.go
git commit -qam "certsd: a function is gone"`, "sh", dir)
	refused("the API has changed so that programs break, and v0.1.1 follows v0.1.0", "VERSION=v0.1.1")
}
