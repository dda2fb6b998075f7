package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	_ "crypto/sha256" // what digests are made with
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// nobody is who the program is unless somebody says otherwise: a number that no
// distribution gives away, as in other images of this kind.
const nobody = 65532

// program is where the image has it, as in docker/Dockerfile.
const program = "certsd"

// places are the directories: roots of the system, where certs.d directories are
// mounted, and the only one that may be written.
var places = []struct {
	path  string
	mode  int64
	owner int
}{
	{"etc/", 0o755, 0},
	{"etc/certsd/", 0o755, 0},
	{"etc/certsd/certs.d/", 0o755, 0},
	{"etc/containerd/", 0o755, 0},
	{"etc/containerd/certs.d/", 0o755, 0},
	{"etc/docker/", 0o755, 0},
	{"etc/docker/certs.d/", 0o755, 0},
	{"etc/ssl/", 0o755, 0},
	{"etc/ssl/certs/", 0o755, 0},
	{"var/", 0o755, 0},
	{"var/lib/", 0o755, 0},
	{"var/lib/certsd/", 0o700, nobody},
	{"var/lib/certsd/gateway/", 0o700, nobody},
}

// machines are what a program has to be for, so that no image starts a program
// of another architecture.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// layer is the only one: gzip, and the digest of what is inside.
func layer(arch, file string, created time.Time) (compressed []byte, diffID digest.Digest, err error) {
	data, err := static(arch, file)
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, "", err
	}
	inside := digest.Canonical.Digester()
	t := tar.NewWriter(io.MultiWriter(z, inside.Hash()))
	err = t.WriteHeader(&tar.Header{Name: program, Mode: 0o755, Size: int64(len(data)), ModTime: created, Format: tar.FormatUSTAR})
	if err != nil {
		return nil, "", err
	}
	if _, err := t.Write(data); err != nil {
		return nil, "", err
	}
	for _, p := range places {
		err := t.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir, Name: p.path, Mode: p.mode, Uid: p.owner, Gid: p.owner, ModTime: created, Format: tar.FormatUSTAR,
		})
		if err != nil {
			return nil, "", err
		}
	}
	if err := errors.Join(t.Close(), z.Close()); err != nil {
		return nil, "", err
	}
	return b.Bytes(), inside.Digest(), nil
}

// static reads a program that runs where nothing else is.
func static(arch, file string) ([]byte, error) {
	data, err := os.ReadFile(file) //nolint:gosec // what the command line names
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if want, ok := machines[arch]; !ok || f.Machine != want {
		return nil, fmt.Errorf("%s is for %s, which is not %s", file, f.Machine, arch)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s needs an interpreter: build it with CGO_ENABLED=0", file)
		}
	}
	return data, nil
}
