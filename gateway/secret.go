package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/internal/safepath"
)

const (
	secretFile    = "secret"
	oldSecretFile = "secret.old"
	// minSecret and maxSecret bound the length in bytes. Generated secrets have 43: 32
	// bytes of crypto/rand in base64.
	minSecret, maxSecret = 16, 512
)

// sharedSecret is the secret that clients must know. It is kept in a file, which is
// reread when it changes. A replaced secret is accepted for a while, to let clients
// switch without an interruption.
type sharedSecret struct {
	// Dir is the directory with the files "secret" and "secret.old".
	Dir string
	// Grace is how long a replaced secret is still accepted. Zero means
	// defaultSecretGrace, a negative value not at all.
	Grace time.Duration

	// dir is held open by openSecret, nil without it.
	dir *safepath.Dir

	// mu guards the files as last read, and the last replacement.
	mu       sync.Mutex
	now, old secretState
	replaced replacement
}

// replacement is the last replacement that this process has seen.
type replacement struct {
	sum [sha256.Size]byte
	at  time.Time
}

// secretState is one file as it was last read.
type secretState struct {
	stamp stamp
	sum   [sha256.Size]byte
	known bool
	// failed is the last reported reason why the file could not be read.
	failed failure
}

// failure identifies a failure that has been reported.
type failure struct {
	stamp stamp
	text  string
}

// stamp identifies a version of a file.
type stamp struct {
	size    int64
	changed time.Time
}

// ownSecret returns the secret in dir, creating it if necessary. The directory must
// belong to the user, and is held until [sharedSecret.Close].
func ownSecret(dir string) (*sharedSecret, error) {
	if err := safepath.Own(dir); err != nil {
		return nil, err
	}
	return openSecret(dir)
}

// openSecret is like ownSecret, but lets root use a directory of another user.
func openSecret(dir string) (*sharedSecret, error) {
	held, err := safepath.Open(dir)
	if err != nil {
		return nil, err
	}
	s := &sharedSecret{Dir: dir, dir: held}
	// This secret stays in use if a later one cannot be read.
	_, err = s.now.read(held, secretFile)
	if errors.Is(err, fs.ErrNotExist) {
		// Another process may create it first.
		if err = held.Create(secretFile, append(newSecret(), '\n')); err == nil || errors.Is(err, fs.ErrExist) {
			_, err = s.now.read(held, secretFile)
		}
	}
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	return s, nil
}

// Close releases the directory.
func (s *sharedSecret) Close() error {
	if s.dir == nil {
		return nil
	}
	return s.dir.Close()
}

// Value returns the secret that is in the file now.
func (s *sharedSecret) Value() (string, error) {
	var b []byte
	err := s.in(func(d *safepath.Dir) (err error) {
		b, _, err = readSecret(d, secretFile)
		return err
	})
	return string(b), err
}

// Rotate replaces the secret with a new one. The serving gateway notices and accepts
// the old one for its grace period. The files belong to the directory's owner, who must
// read them, whichever user runs this.
func (s *sharedSecret) Rotate() error {
	return s.in(func(d *safepath.Dir) error {
		old, _, err := readSecret(d, secretFile)
		if err != nil {
			return err
		}
		if err := d.Replace(oldSecretFile, secretFile, append(old, '\n')); err != nil {
			return err
		}
		return d.Replace(secretFile, secretFile, append(newSecret(), '\n'))
	})
}

// in calls do with the directory.
func (s *sharedSecret) in(do func(*safepath.Dir) error) error {
	if s.dir != nil {
		return do(s.dir)
	}
	d, err := safepath.Open(s.Dir)
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Close())
}

// changed returns when the secret was last replaced, by its file's time; zero if
// unknown.
func (s *sharedSecret) changed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.stamp.changed
}

// presentedBy reports whether a request has the secret. It takes the same time
// whatever was presented.
func (s *sharedSecret) presentedBy(r *http.Request) bool {
	presented := r.Header.Get(tokenHeader)
	if presented == "" {
		if user, password, ok := r.BasicAuth(); ok && user == basicUser {
			presented = password
		}
	}
	return s.matches(r.Context(), presented)
}

// matches compares digests: the time of the comparison reveals nothing about the
// secret, not even its length.
func (s *sharedSecret) matches(ctx context.Context, presented string) bool {
	if len(presented) > maxSecret {
		presented = ""
	}
	sum := sha256.Sum256([]byte(presented))
	now, old := s.current(ctx)
	match := subtle.ConstantTimeCompare(sum[:], now.sum[:])&b2i(now.known) |
		subtle.ConstantTimeCompare(sum[:], old.sum[:])&b2i(old.known)
	return match == 1
}

// current checks the files. If one cannot be read, the last value stays in use.
func (s *sharedSecret) current(ctx context.Context) (now, old secretState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now
	// The same applies if the directory cannot be opened.
	_ = s.in(func(d *safepath.Dir) error {
		s.now.refresh(ctx, d, secretFile, false)
		s.old.refresh(ctx, d, oldSecretFile, true)
		return nil
	})
	if before.known && before.sum != s.now.sum {
		s.replaced = replacement{before.sum, time.Now()}
	}
	now, old = s.now, s.old
	old.known = old.known && s.age(old) < s.grace()
	return now, old
}

func (s *sharedSecret) grace() time.Duration { return cmp.Or(s.Grace, defaultSecretGrace) }

// age returns how long ago a secret was replaced, as observed by this process or by the
// time of its file, which cannot be trusted: a future time counts as too long ago
// unless this process saw the replacement.
func (s *sharedSecret) age(old secretState) time.Duration {
	byFile := time.Since(old.stamp.changed)
	if s.replaced.sum == old.sum {
		return max(byFile, time.Since(s.replaced.at))
	}
	if byFile < 0 {
		return math.MaxInt64
	}
	return byFile
}

// refresh reads a file if it has changed, and forgets one that was removed if that is
// allowed. A failure is reported once per change.
func (s *secretState) refresh(ctx context.Context, d *safepath.Dir, name string, mayBeGone bool) {
	at, err := s.read(d, name)
	switch {
	case err == nil:
	case mayBeGone && errors.Is(err, fs.ErrNotExist):
		*s = secretState{}
	case s.failed != failure{at, err.Error()}:
		s.failed = failure{at, err.Error()}
		log.G(ctx).WithError(err).Warn("certsd gateway: a changed secret cannot be used, what was read last stays in use")
	}
}

// read reads a file if it has changed.
func (s *secretState) read(d *safepath.Dir, name string) (at stamp, err error) {
	info, err := d.Stat(name)
	if info != nil {
		at = stamp{info.Size(), info.ModTime()}
	}
	if err != nil {
		return at, err
	}
	if s.known && at == s.stamp {
		return at, nil
	}
	secret, info, err := readSecret(d, name)
	if err == nil {
		at = stamp{info.Size(), info.ModTime()}
		*s = secretState{stamp: at, sum: sha256.Sum256(secret), known: true}
	}
	return at, err
}

func readSecret(d *safepath.Dir, name string) ([]byte, fs.FileInfo, error) {
	b, info, err := d.Read(name, maxSecret)
	if err != nil {
		return nil, nil, err
	}
	path := d.Path() + "/" + name
	if !safepath.Private(info) {
		return nil, nil, fmt.Errorf("%s can be read by users other than its owner: chmod 600 it, and rotate the secret", path)
	}
	b, err = parseSecret(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, info, nil
}

// parseSecret returns the secret in a file without surrounding space.
func parseSecret(b []byte) ([]byte, error) {
	b = bytes.TrimSpace(b)
	if len(b) < minSecret {
		return nil, fmt.Errorf("the secret has fewer than %d bytes", minSecret)
	}
	return b, nil
}

func newSecret() []byte {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return []byte(base64.RawURLEncoding.EncodeToString(b[:]))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
