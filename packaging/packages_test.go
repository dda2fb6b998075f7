//go:build linux

package packaging

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/citest"
)

var update = flag.Bool("update", false, "write the lists of files in testdata")

// built is the directory with two builds, a and b, and a later one.
func built(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CERTSD_PACKAGES")
	if dir == "" {
		citest.Missing(t, "CERTSD_PACKAGES names no packages: make check-packages")
	}
	return dir
}

// packages are the files of a format, without those of another architecture if
// one is named.
func packages(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(built(t), dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no %s in %s: %v", pattern, dir, err)
	}
	return files
}

// one is the only file that a pattern fits.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	files := packages(t, dir, pattern)
	if len(files) != 1 {
		t.Fatalf("%s in %s is %q", pattern, dir, files)
	}
	return files[0]
}

// output runs a program and returns what it says.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		citest.Missing(t, err.Error())
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// golden compares a list of files with the one that is kept.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-kept +built; go test ./packaging -update):\n%s", file, diff)
	}
}

// listing is what a format's own tool says of the files of a package: mode, owner
// and path. The documents count as one.
func listing(t *testing.T, file string) string {
	t.Helper()
	tree := regexp.MustCompile(`(?m)^(\S{10}) +(\S+)[/ ]+(\S+) +\d+ .* \.?(/\S*)$`)
	var out string
	switch filepath.Ext(file) {
	case ".deb":
		out = output(t, "dpkg-deb", "-c", file)
	case ".rpm":
		out = output(t, "rpm", "-qplv", file)
		tree = regexp.MustCompile(`(?m)^(\S{10}) +\d+ (\S+) +(\S+) +\d+ .* (/\S*)$`)
	case ".apk":
		// Three archives, one after the other.
		out = output(t, "tar", "-tvzf", file, "--ignore-zeros")
		tree = regexp.MustCompile(`(?m)^(\S{10}) +(\S+)/(\S+) +\d+ \S+ \S+ ()(\S+)$`)
	default:
		out = output(t, "tar", "-tvzf", file, "--numeric-owner")
		tree = regexp.MustCompile(`(?m)^(\S{10}) +(\S+)/(\S+) +\d+ \S+ \S+ [^/\s]+(/\S*)$`)
	}
	var lines []string
	for _, m := range tree.FindAllStringSubmatch(out, -1) {
		line := strings.Join([]string{m[1], m[2], m[3], strings.Join(m[4:], "")}, " ")
		if strings.Contains(line, "/docs/") && strings.HasSuffix(line, ".md") {
			line = line[:strings.Index(line, "/docs/")] + "/docs/*.md"
			if slices.Contains(lines, line) {
				continue
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestContents compares the files of each package with a list that is kept: one
// for both architectures, and for all lines of containerd.
func TestContents(t *testing.T) {
	t.Parallel()
	for format, pattern := range map[string]string{"deb": "*.deb", "rpm": "*.rpm", "apk": "*.apk", "tar": "*.tar.gz"} {
		for _, file := range packages(t, "a", pattern) {
			name, list := "certsd", listing(t, file)
			if line := regexp.MustCompile(`containerd-certsd-(\d\.\d)`).FindStringSubmatch(filepath.Base(file)); line != nil {
				name, list = "containerd-certsd", strings.ReplaceAll(list, line[1]+"/", "LINE/")
				list = strings.ReplaceAll(list, "-"+line[1], "-LINE")
			}
			if strings.HasPrefix(filepath.Base(file), "certsd-pkcs11") {
				name = "certsd-pkcs11"
			}
			golden(t, name+"."+format, list)
		}
	}
}

// TestNothingOfAnotherPackage looks for files where the containerd of a
// distribution, or an administrator, has theirs.
func TestNothingOfAnotherPackage(t *testing.T) {
	t.Parallel()
	ours := regexp.MustCompile(`^(/etc/certsd/|/usr/bin/certsd(-pkcs11)?$|/usr/lib/containerd-certsd/|/usr/lib/systemd/system/certsd-|/usr/share/)`)
	for _, file := range append(packages(t, "a", "*.deb"), packages(t, "a", "*.rpm")...) {
		for line := range strings.Lines(listing(t, file)) {
			fields := strings.Fields(line)
			if path := fields[3]; fields[0][0] != 'd' && !ours.MatchString(path) {
				t.Errorf("%s has %s", filepath.Base(file), path)
			}
		}
	}
}
