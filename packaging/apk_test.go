//go:build linux

package packaging

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// toolOf is a program of make that a variable names.
func toolOf(t *testing.T, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		citest.Missing(t, variable+" names no program: make check-packages")
	}
	return program
}

// TestAPK installs the packages for Alpine into roots of their own, by an implementation
// of apk in Go: with what they depend on, of two versions the later one unless another is
// asked for. What it cannot do, upgrade and remove, is done by apk itself where there is
// an Alpine: alpine.sh, as the workflow packages runs it.
func TestAPK(t *testing.T) {
	t.Parallel()
	built(t)
	if os.Getuid() != 0 {
		citest.Missing(t, "a root of its own needs root")
	}
	if runtime.GOARCH != "amd64" {
		citest.Missing(t, "the later packages are for amd64")
	}
	version := func(dir string) string {
		name := filepath.Base(one(t, dir, "certsd-[0-9]*.x86_64.apk"))
		return strings.TrimSuffix(strings.TrimPrefix(name, "certsd-"), ".x86_64.apk")
	}
	first, later := version("a"), version("later")
	for name, row := range map[string]struct {
		world []string
		want  string
	}{
		"the latest":       {[]string{"containerd-certsd-2.4"}, later},
		"one that is said": {[]string{"certsd=" + first, "containerd-certsd-2.4=" + first}, first},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository, root := t.TempDir(), t.TempDir()
			if err := os.Chmod(root, 0o755); err != nil {
				t.Fatal(err)
			}
			arch := filepath.Join(repository, "x86_64")
			if err := os.Mkdir(arch, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"a", "later"} {
				for _, file := range packages(t, dir, "*.x86_64.apk") {
					output(t, "cp", file, filepath.Join(arch, dir+"-"+filepath.Base(file)))
				}
			}
			out := output(t, "sh", append([]string{"-c", `umask 022 && exec "$@"`, "sh", toolOf(t, "APK"), root, repository}, row.world...)...)
			expect(t, "installed", out,
				"certsd "+row.want+" Apache-2.0: \n", "containerd-certsd-2.4 "+row.want+" Apache-2.0: certsd\n",
				"  usr/bin/certsd\n", "  etc/certsd/gateway.toml\n", "  usr/lib/containerd-certsd/2.4/containerd\n")
			// What the database has is there.
			for _, m := range regexp.MustCompile(`(?m)^  (.*)$`).FindAllStringSubmatch(out, -1) {
				mode := os.FileMode(0o644)
				if strings.HasPrefix(m[1], "usr/bin/") || strings.HasPrefix(m[1], "usr/lib/") {
					mode = 0o755
				}
				if info, err := os.Stat(filepath.Join(root, m[1])); err != nil || info.Mode() != mode {
					t.Errorf("%s: %v, %v", m[1], info, err)
				}
			}
			expect(t, "used", output(t, "chroot", root, "/usr/bin/certsd", "--version"), "certsd version")
			expect(t, "used", output(t, "chroot", root, "/usr/lib/containerd-certsd/2.4/containerd", "--version"), " v2.4.")
		})
	}
}

// TestAPKIsReplaced looks at what an upgrade and a removal by apk rely on: there is no
// script that could fail, and each file has its digest, by which apk knows what somebody
// has changed below /etc.
func TestAPKIsReplaced(t *testing.T) {
	t.Parallel()
	for _, file := range packages(t, "a", "*.apk") {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		// Archives, one after the other.
		files, stream := 0, bufio.NewReader(z)
		for {
			if _, err := stream.Peek(1); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				break
			}
			files += digested(t, filepath.Base(file), tar.NewReader(stream))
		}
		if files < 9 {
			t.Errorf("%s has only %d files", filepath.Base(file), files)
		}
	}
}

// digested looks at one archive of a package, and returns how many files of the machine
// are in it.
func digested(t *testing.T, name string, archive *tar.Reader) (files int) {
	t.Helper()
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch {
		case strings.HasPrefix(h.Name, "."):
			if h.Name != ".PKGINFO" {
				t.Errorf("%s has %s", name, h.Name)
			}
		case h.Typeflag == tar.TypeReg:
			files++
			sum := sha1.New()
			if _, err := io.Copy(sum, archive); err != nil {
				t.Fatal(err)
			}
			if got, want := h.PAXRecords["APK-TOOLS.checksum.SHA1"], hex.EncodeToString(sum.Sum(nil)); got != want {
				t.Errorf("%s: the digest of %s is %q, want %q", name, h.Name, got, want)
			}
		}
	}
}
