package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// built is a static program for an architecture.
func built(t *testing.T, arch string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), arch)
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", file, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// entries are the files of an archive.
func entries(t *testing.T, data []byte) (headers []*tar.Header, contents map[string][]byte) {
	t.Helper()
	contents = map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		headers = append(headers, h)
	}
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

func TestImage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	amd64, arm64 := built(t, "amd64"), built(t, "arm64")
	write := func(to string) []byte {
		t.Helper()
		file := filepath.Join(t.TempDir(), to)
		err := run([]string{
			"--output", file, "--name", "registry.example/certsd", "--tag", "1.2.3",
			"--program", "amd64=" + amd64, "--program", "arm64=" + arm64, "--label", "org.opencontainers.image.title=certsd",
		})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	once := write("one.tar")
	// A program that is a new file with another mode is the same program.
	if err := os.Chmod(amd64, 0o700); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(once, write("two.tar")) {
		t.Error("the same programs give other bytes")
	}

	_, files := entries(t, once)
	blob := func(d ocispec.Descriptor) []byte {
		data := files["blobs/sha256/"+d.Digest.Encoded()]
		if int64(len(data)) != d.Size {
			t.Fatalf("%s has %d bytes, not %d", d.Digest, len(data), d.Size)
		}
		return data
	}
	top := decode[ocispec.Index](t, files["index.json"])
	if name := top.Manifests[0].Annotations[fullName]; len(top.Manifests) != 1 || name != "registry.example/certsd:1.2.3" {
		t.Errorf("index.json names %q", name)
	}
	all := decode[ocispec.Index](t, blob(top.Manifests[0]))
	var platforms []string
	for _, d := range all.Manifests {
		platforms = append(platforms, d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant)
		m := decode[ocispec.Manifest](t, blob(d))
		config := decode[ocispec.Image](t, blob(m.Config))
		if config.Config.User != "65532:65532" || config.Architecture != d.Platform.Architecture ||
			config.Config.Labels["org.opencontainers.image.title"] != "certsd" ||
			config.Config.Labels["org.opencontainers.image.created"] != "2023-11-14T22:13:20Z" {
			t.Errorf("the configuration is %+v", config)
		}
		if diff := cmp.Diff(config.Config.Labels, m.Annotations); diff != "" {
			t.Errorf("labels and annotations differ:\n%s", diff)
		}
		z, err := gzip.NewReader(bytes.NewReader(blob(m.Layers[0])))
		if err != nil {
			t.Fatal(err)
		}
		inside, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		testLayer(t, inside)
	}
	if want := []string{"linux/amd64/", "linux/arm64/v8"}; !slices.Equal(platforms, want) {
		t.Errorf("it is for %q, want %q", platforms, want)
	}
}

// testLayer holds that there is one program and places to mount things at.
func testLayer(t *testing.T, layer []byte) {
	t.Helper()
	headers, _ := entries(t, layer)
	writable, programs := []string{}, []string{}
	for _, h := range headers {
		if h.Typeflag != tar.TypeDir {
			programs = append(programs, h.Name)
		}
		if h.Uid != 0 {
			writable = append(writable, h.Name)
		}
		if h.ModTime.Unix() != 1700000000 || h.Uname != "" || h.Mode&0o022 != 0 {
			t.Errorf("%+v", h)
		}
	}
	if diff := cmp.Diff([]string{"certsd"}, programs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"var/lib/certsd/", "var/lib/certsd/gateway/"}, writable); diff != "" {
		t.Error(diff)
	}
}

// TestRefused holds that there is no image of what could not run in it, and that
// nothing is left of it.
func TestRefused(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dynamic, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct{ program, want string }{
		"another architecture": {"arm64=" + built(t, "amd64"), "is for EM_X86_64, which is not arm64"},
		"no architecture":      {"mips=" + built(t, "amd64"), "which is not mips"},
		"not static":           {"amd64=" + dynamic, "needs an interpreter"},
		"no program":           {"amd64=main_test.go", "bad magic number"},
		"nothing":              {"amd64=missing", "no such file"},
		"no value":             {"amd64", "want NAME=VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := run([]string{"--output", filepath.Join(dir, "image.tar"), "--name", "a", "--tag", "b", "--program", row.program})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v, want %s", err, row.want)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left are %v, %v", left, err)
			}
		})
	}
}

// TestAsDockerfile holds that both ways to an image make the same one.
func TestAsDockerfile(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	a := archive{}
	i := image{name: "a", tag: "b", programs: pairs{{"amd64", built(t, "amd64")}}}
	d, err := i.manifest(a, "amd64", i.programs[0][1])
	if err != nil {
		t.Fatal(err)
	}
	m := decode[ocispec.Manifest](t, a["blobs/sha256/"+d.Digest.Encoded()])
	config := decode[ocispec.Image](t, a["blobs/sha256/"+m.Config.Digest.Encoded()]).Config
	text, err := os.ReadFile("../docker/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	word := func(name string) string {
		m := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("Dockerfile has no %s", name)
		}
		return string(m[1])
	}
	if got := decode[[]string](t, []byte(word("ENTRYPOINT"))); !slices.Equal(got, config.Entrypoint) {
		t.Errorf("ENTRYPOINT %q, not %q", got, config.Entrypoint)
	}
	if got := decode[[]string](t, []byte(word("CMD"))); !slices.Equal(got, config.Cmd) {
		t.Errorf("CMD %q, not %q", got, config.Cmd)
	}
	for _, path := range decode[[]string](t, []byte(word("VOLUME"))) {
		if _, ok := config.Volumes[path]; !ok || len(config.Volumes) != 1 {
			t.Errorf("VOLUME %q, not %v", path, config.Volumes)
		}
	}
	if got := word("USER"); got != config.User {
		t.Errorf("USER %s, not %s", got, config.User)
	}
}
