//go:build linux

package integration

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

// imageCmd puts a small image into the registry: image REPOSITORY:TAG [LAYERS [MIB]]
//
// It holds busybox, prints "hello from REPOSITORY:TAG" when run, and has
// LAYERS layers, two if not said, and one more of so many MiB where that is said. One whose repository ends in "pause" prints
// nothing and does not end. It goes to docker-registry directly, not
// through the servers in front of it.
func (r *rig) imageCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "image REPOSITORY:TAG [LAYERS [MIB]]"
	noNeg(ts, neg, usage)
	if len(args) < 1 || len(args) > 3 {
		ts.Fatalf("usage: %s", usage)
	}
	layers, size := 2, 0
	for i, n := range []*int{&layers, &size}[:len(args)-1] {
		var err error
		*n, err = strconv.Atoi(args[i+1])
		ts.Check(err)
	}
	ref, err := name.ParseReference(registryAddr+"/"+args[0], name.Insecure)
	ts.Check(err)
	img, err := busyboxImage("hello from "+args[0], layers)
	ts.Check(err)
	if size > 0 {
		large := &tarLayer{name: "large", seed: 1, size: int64(size) << 20}
		ts.Check(large.sum())
		img, err = mutate.AppendLayers(img, large)
		ts.Check(err)
	}
	ts.Check(remote.Write(ref, img))
	digest, err := img.Digest()
	ts.Check(err)
	ts.Setenv("DIGEST", digest.String())
}

// busyboxImage is an image that prints a greeting.
func busyboxImage(greeting string, layers int) (v1.Image, error) {
	busybox, err := lookPath("busybox")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	files := []func() []byte{
		func() []byte { return rootfs(program) },
		func() []byte { return tarOf(tarFile("greeting", []byte(greeting+"\n"), 0o644)) },
	}
	for i := len(files); i < layers; i++ {
		files = append(files, func() []byte {
			return tarOf(tarFile(fmt.Sprintf("layer-%d", i), []byte(greeting), 0o644))
		})
	}
	config := v1.Config{Cmd: []string{"/bin/cat", "/greeting"}}
	if strings.Contains(greeting, "pause:") {
		config = v1.Config{Entrypoint: []string{"/bin/busybox", "sleep", "1000000"}}
	}
	img, err := mutate.Config(empty.Image, config)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(file())), nil
		})
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return platform(img)
}

// platform says what the image is for: containerd unpacks nothing else.
func platform(img v1.Image) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	return mutate.ConfigFile(img, config)
}

// rootfs is a tar of a root file system with nothing but busybox.
func rootfs(busybox []byte) []byte {
	entries := []tarEntry{tarDir("bin"), tarDir("tmp"), tarFile("bin/busybox", busybox, 0o755)}
	for _, applet := range []string{"cat", "echo", "ls", "sh"} {
		entries = append(entries, tarLink("bin/"+applet, "busybox"))
	}
	return tarOf(entries...)
}

// tarEntry is one entry of a tar file.
type tarEntry struct {
	header tar.Header
	body   []byte
}

func tarDir(name string) tarEntry {
	return tarEntry{header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755}}
}

func tarFile(name string, body []byte, mode int64) tarEntry {
	return tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(body))}, body}
}

func tarLink(name, target string) tarEntry {
	return tarEntry{header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// tarOf writes entries to memory, where writing does not fail.
func tarOf(entries ...tarEntry) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			panic(err)
		}
		if _, err := w.Write(e.body); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
