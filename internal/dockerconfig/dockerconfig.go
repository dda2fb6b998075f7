// Package dockerconfig finds credentials for registries where docker login and
// podman login leave them: in a config.json or auth.json, and with the credential
// helpers that it names.
//
// A secret is in no error and no warning, and goes to nobody but the caller. A
// helper is somebody else's program: its time and its answer are bounded.
//
// Read dockerconfig.go first, then parse.go, which reads a file, keys.go, which
// finds the entry for a registry, and helper.go, which asks a helper.
package dockerconfig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// DefaultHelperTimeout bounds a credential helper, which may ask a keyring or a
// cloud.
const DefaultHelperTimeout = 30 * time.Second

// maxHelpers is how many helpers of a file run at a time.
const maxHelpers = 8

// File is a file with credentials. It is read whenever credentials are asked
// for, so that a new login counts at once. It is safe for concurrent use.
type File struct {
	// Path is where it is. A file that is not there has no credentials.
	Path string
	// HelperTimeout is how long a helper may take. Zero means
	// [DefaultHelperTimeout].
	HelperTimeout time.Duration
	// Terminal is for what helpers say to a person, who may have to answer: they
	// stay in the process group of the caller then. nil is for daemons: what
	// helpers say is dropped, and they are ended with all they have started.
	Terminal io.Writer
	// OnWarning, if set, is called for a file that others may read, and of one that is
	// broken while its last good content counts: once, until that changes.
	OnWarning func(error)

	helpers singleflight.Group

	// mu guards what follows.
	mu sync.Mutex
	// good is the last content that could be read.
	good *config
	// warned is the warning that was given last.
	warned string
	// slots bounds the helpers.
	slots chan struct{}
}

// DefaultPath returns where Docker keeps its config.json for the user who calls;
// empty where there is no home directory.
func DefaultPath() string {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker", "config.json")
}

// CheckPath finds what cannot be the docker_config of a daemon, whose working
// directory is nobody's.
func CheckPath(path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("docker_config: %q is not an absolute path", path)
	}
	return nil
}

// Check reads the file and reports what is wrong with it. That it is not there
// is an [fs.ErrNotExist], which need not be wrong.
func (f *File) Check() error {
	_, err := read(f.Path)
	return err
}

// Begin reads the file for a daemon that starts, and warns of one that is not
// there or cannot be used: that need not be so any more when it is wanted.
func (f *File) Begin() {
	c, err := read(f.Path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.good, err = c, c.exposed
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("docker_config: %w: registries get no credentials from the node until the file is there", err)
	}
	f.warn(err)
}

// For returns a function for the credentials of hosts while an image of a
// repository, such as team/app, is pulled or pushed: user and secret, without a
// user an identity token, and neither where there is none. See
// [File.Credentials].
func (f *File) For(ctx context.Context, repository string) func(host string) (user, secret string, err error) {
	return func(host string) (string, string, error) { return f.Credentials(ctx, host, repository) }
}

// Credentials returns those of the most specific entry for a host[:port] and a
// repository there. They are for this host alone.
func (f *File) Credentials(ctx context.Context, host, repository string) (user, secret string, err error) {
	c, err := f.load()
	if err != nil {
		return "", "", fmt.Errorf("credentials for %s: %w", host, err)
	}
	if helper, key := c.helperFor(host); helper != "" {
		user, secret, err = f.ask(ctx, helper, key)
		if err != nil {
			err = fmt.Errorf("credentials for %s: %s: %w", host, f.Path, err)
		}
		return user, secret, err
	}
	user, secret, err = c.entryFor(host, repository)
	if err != nil {
		err = fmt.Errorf("credentials for %s: %s: %w", host, f.Path, err)
	}
	return user, secret, err
}

// Source is where in a file the credentials for a host are.
type Source struct {
	// Entry is the key of auths, Helper the program that is asked in its place.
	Entry, Helper string
}

// Source finds which entry or helper counts for a host[:port] and a repository
// there, the zero value for none, and asks no helper: that one may have nothing.
func (f *File) Source(host, repository string) (Source, error) {
	c, err := read(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return Source{}, nil
	}
	if err != nil {
		return Source{}, err
	}
	if helper, _ := c.helperFor(host); helper != "" {
		return Source{Helper: helperPrefix + helper}, nil
	}
	return Source{Entry: c.entryKey(host, repository)}, nil
}

// load reads the file. While it cannot be used, its last good content counts; a
// file that was removed has nothing any more.
func (f *File) load() (*config, error) {
	c, err := read(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		c, err = &config{}, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.good = c
		f.warn(c.exposed)
	case f.good != nil:
		f.warn(fmt.Errorf("%w: what was read from it before is still used", err))
	default:
		return nil, err
	}
	return f.good, nil
}

// warn gives a warning that is not the last one. The caller holds f.mu.
func (f *File) warn(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.warned && f.OnWarning != nil {
		f.OnWarning(err)
	}
	f.warned = text
}

// read reads a file.
func read(path string) (*config, error) {
	if path == "" {
		return &config{}, nil
	}
	data, err := plainfile.Read(path)
	if err != nil {
		return nil, err
	}
	if plainfile.HasMark(data) {
		return nil, fmt.Errorf("%s begins with a byte order mark, which Docker does not read either: remove it with %s", path, plainfile.WithoutMark(path))
	}
	text, err := plainfile.Text(path, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 && c.hasSecrets() {
		c.exposed = fmt.Errorf("%s can be read by everybody on this machine, and has passwords or tokens: chmod 600 %s", path, path)
	}
	return c, nil
}
