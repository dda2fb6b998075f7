package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/log"
)

const (
	secretFile    = "secret"
	oldSecretFile = "secret.old"
	// minSecret and maxSecret are lengths in bytes. Those made here have 43: 32
	// bytes of crypto/rand in base64.
	minSecret, maxSecret = 16, 512
	// DefaultSecretGrace is how long a replaced secret still lets in.
	DefaultSecretGrace = time.Hour
)

// Secret is what clients have to know. It is kept in a file, which is read
// again when it changes; a replaced one lets in for a while longer, so that
// clients can be told the new one without an interruption.
type Secret struct {
	// Dir is the directory with the files "secret" and "secret.old".
	Dir string
	// Grace is how long the old one still counts after it was replaced. Zero
	// means DefaultSecretGrace, less than zero not at all.
	Grace time.Duration

	// mu guards the files as last read.
	mu       sync.Mutex
	now, old secretState
}

// secretState is one file as it was last read.
type secretState struct {
	stamp stamp
	sum   [sha256.Size]byte
	known bool
	// failed is why the file could not be read when that was last told.
	failed failure
}

// failure tells whether there is something new to say.
type failure struct {
	stamp stamp
	text  string
}

// stamp tells whether a file is still the same.
type stamp struct {
	size    int64
	changed time.Time
}

// OpenSecret returns the secret in dir, which it makes if there is none.
func OpenSecret(dir string) (*Secret, error) {
	s := &Secret{Dir: dir}
	path := filepath.Join(dir, secretFile)
	_, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = createSecret(path)
	}
	if err == nil {
		// A later one that cannot be read leaves this in use.
		_, err = s.now.read(path)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Value returns the secret as it is in the file now.
func (s *Secret) Value() (string, error) {
	b, err := readSecret(filepath.Join(s.Dir, secretFile))
	return string(b), err
}

// Rotate replaces the secret by a new one. The old one counts for the grace
// period of the gateway that serves. Nothing has to be told to it.
func (s *Secret) Rotate() error {
	path := filepath.Join(s.Dir, secretFile)
	old, err := readSecret(path)
	if err != nil {
		return err
	}
	// Whoever runs this, the gateway has to read them.
	if err := writeFileLike(path, filepath.Join(s.Dir, oldSecretFile), append(old, '\n')); err != nil {
		return err
	}
	return writeFileLike(path, path, append(newSecret(), '\n'))
}

// presentedBy tells whether a request has the secret. It takes the same time
// whatever was presented.
func (s *Secret) presentedBy(r *http.Request) bool {
	presented := r.Header.Get(tokenHeader)
	if presented == "" {
		if user, password, ok := r.BasicAuth(); ok && user == basicUser {
			presented = password
		}
	}
	return s.matches(r.Context(), presented)
}

// matches compares digests: their comparison tells nothing about the secret,
// not even its length.
func (s *Secret) matches(ctx context.Context, presented string) bool {
	if len(presented) > maxSecret {
		presented = ""
	}
	sum := sha256.Sum256([]byte(presented))
	now, old := s.current(ctx)
	match := subtle.ConstantTimeCompare(sum[:], now.sum[:])&b2i(now.known) |
		subtle.ConstantTimeCompare(sum[:], old.sum[:])&b2i(old.known)
	return match == 1
}

// current looks at the files. What cannot be read leaves what was read before.
func (s *Secret) current(ctx context.Context) (now, old secretState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.refresh(ctx, filepath.Join(s.Dir, secretFile), false)
	s.old.refresh(ctx, filepath.Join(s.Dir, oldSecretFile), true)
	now, old = s.now, s.old
	grace := s.Grace
	if grace == 0 {
		grace = DefaultSecretGrace
	}
	if time.Since(old.stamp.changed) >= grace {
		old.known = false
	}
	return now, old
}

// refresh reads a file if it has changed. One that is gone, if it may be, is
// not known any more. Why one cannot be read is told once for each change.
func (s *secretState) refresh(ctx context.Context, path string, mayBeGone bool) {
	at, err := s.read(path)
	switch {
	case err == nil:
	case mayBeGone && errors.Is(err, fs.ErrNotExist):
		*s = secretState{}
	case s.failed != failure{at, err.Error()}:
		s.failed = failure{at, err.Error()}
		log.G(ctx).WithError(err).Warn("certsd gateway: a changed secret cannot be used, what was read last stays in use")
	}
}

// read takes over what is in a file that has changed.
func (s *secretState) read(path string) (at stamp, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return at, err
	}
	at = stamp{info.Size(), info.ModTime()}
	if s.known && at == s.stamp {
		return at, nil
	}
	secret, err := readSecret(path)
	if err == nil {
		*s = secretState{stamp: at, sum: sha256.Sum256(secret), known: true}
	}
	return at, err
}

func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others than its owner: chmod 600 it, and rotate the secret", path)
	}
	if info.Size() > maxSecret {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxSecret)
	}
	b, err := os.ReadFile(path) //nolint:gosec // the file is the administrator's
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSpace(b)
	if len(b) < minSecret {
		return nil, fmt.Errorf("%s: the secret has less than %d bytes", path, minSecret)
	}
	return b, nil
}

func newSecret() []byte {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return []byte(base64.RawURLEncoding.EncodeToString(b[:]))
}

// createSecret makes the file unless another process was faster.
func createSecret(path string) error {
	tmp, err := writeTemp(path, append(newSecret(), '\n'))
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	// A link, unlike a rename, does not replace what is there.
	if err := os.Link(tmp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	_, err = readSecret(path)
	return err
}

// writeFile replaces a file, whole or not at all.
func writeFile(path string, data []byte) error {
	return replace(path, data, func(string) error { return nil })
}

// writeFileLike is writeFile with the owner of another file, or of path itself.
func writeFileLike(other, path string, data []byte) error {
	info, err := os.Stat(other)
	if err != nil {
		return err
	}
	return replace(path, data, func(tmp string) error {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			return os.Chown(tmp, int(owner.Uid), int(owner.Gid))
		}
		return nil
	})
}

// replace writes a file, prepares it and gives it its name.
func replace(path string, data []byte, prepare func(tmp string) error) error {
	tmp, err := writeTemp(path, data)
	if err != nil {
		return err
	}
	if err = prepare(tmp); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// writeTemp writes a file of mode 0600 beside path.
func writeTemp(path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
