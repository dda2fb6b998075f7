// Package dockerconfig finds credentials for registries where docker login and podman
// login store them: in a config.json or auth.json, and with the credential helpers that
// it names.
//
// No error or warning contains a secret. A helper is a foreign program: its time and
// its answer are bounded.
//
// Read dockerconfig.go first, then parse.go, which reads a file, keys.go, which finds
// the entry for a registry, and helper.go, which asks a helper.
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

// maxHelpers is how many helpers run at a time for one file.
const maxHelpers = 8

// File is a file with credentials. It is read for each request for credentials: a new
// login takes effect at once. It is safe for concurrent use.
type File struct {
	// Path is the path of the file. A missing file has no credentials.
	Path string
	// HelperTimeout is how long a helper may take. Zero means
	// [DefaultHelperTimeout].
	HelperTimeout time.Duration
	// Terminal is where helpers write to the user, who may have to answer: they stay in
	// the process group of the caller. nil is for daemons: the helpers' messages are
	// dropped, and a helper is killed with all processes that it started.
	Terminal io.Writer
	// OnWarning, if set, is called for a file that others may read, and for a broken
	// one whose last good content is used: once, until that changes.
	OnWarning func(error)

	helpers singleflight.Group

	// mu guards what follows.
	mu sync.Mutex
	// good is the last content that could be read.
	good *config
	// warned is the warning that was given last.
	warned string
	// slots bounds the running helpers.
	slots chan struct{}
}

// DefaultPath returns the path of Docker's config.json for the current user, empty
// without a home directory.
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

// CheckPath returns an error for a path that cannot be a daemon's docker_config: a
// relative one, because nobody chose the daemon's working directory.
func CheckPath(path string) error {
	if path != "" && !filepath.IsAbs(path) {
		return fmt.Errorf("docker_config: %q is not an absolute path", path)
	}
	return nil
}

// Check reads the file and reports what is wrong with it. It returns [fs.ErrNotExist]
// for a missing file, which may be intended.
func (f *File) Check() error {
	_, err := read(f.Path)
	return err
}

// Begin reads the file for a daemon that starts, and only warns if it is missing or
// cannot be used: it may be fine by the time it is needed.
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

// For returns a function for the credentials of hosts while an image of a repository,
// such as team/app, is pulled or pushed: user and secret, an identity token without a
// user, or neither. See [File.Credentials].
func (f *File) For(ctx context.Context, repository string) func(host string) (user, secret string, err error) {
	return func(host string) (string, string, error) { return f.Credentials(ctx, host, repository) }
}

// Credentials returns the credentials in the most specific entry for a host[:port] and
// a repository there. They are meant for this host alone.
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

// Source says where the credentials for a host come from.
type Source struct {
	// Entry is the key in auths, Helper the program that is asked instead.
	Entry, Helper string
}

// Source returns the entry or helper for a host[:port] and a repository there, the zero
// value for none. It does not run the helper, which may have no credentials.
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

// load reads the file. While it cannot be used, its last good content is used; a
// removed file counts as empty.
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

// warn calls OnWarning unless the warning is the same as the last. The caller holds
// f.mu.
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
