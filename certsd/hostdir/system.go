package hostdir

import (
	"crypto/sha256"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// deepLook is the interval between checks of the individual files in a directory of CA
// roots. There may be hundreds; the bundle and the directories themselves, which the
// tools of every distribution touch, are checked each time.
const deepLook = time.Second

// systemRoots is one version of the system's CA roots.
type systemRoots struct{ pool *x509.CertPool }

// systemBundle rereads the system's CA roots when they change on disk, which
// x509.SystemCertPool reads once per process. It reads the same files, including
// SSL_CERT_FILE and SSL_CERT_DIR (crypto/x509, root_unix.go). Without such files it
// uses x509.SystemCertPool.
type systemBundle struct {
	disk disk

	// mu guards what follows.
	mu      sync.Mutex
	env     [2]string
	stamps  []stamp // the bundle, those looked for before it, and the directories
	deep    []stamp // the files of the directories
	looked  time.Time
	sum     [sha256.Size]byte
	current *systemRoots
}

// get returns the roots: the same pointer as long as they do not change.
func (s *systemBundle) get() (*systemRoots, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := [2]string{os.Getenv("SSL_CERT_FILE"), os.Getenv("SSL_CERT_DIR")}
	if s.current != nil && (len(systemFiles) == 0 || env == s.env && s.unchanged()) {
		return s.current, nil
	}
	rec := newRecorder(s.disk, "")
	pool, found := s.read(rec, env)
	if rec.unread && s.current != nil {
		// Not everything could be read: the last roots stay in use.
		s.looked = time.Time{}
		return s.current, nil
	}
	if !found {
		var err error
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
	}
	s.env, s.looked = env, s.disk.Now()
	if sum := rec.digest(); s.current == nil || sum != s.sum {
		s.sum, s.current = sum, &systemRoots{pool}
	}
	return s.current, nil
}

func (s *systemBundle) unchanged() bool {
	if !s.disk.allCurrent(s.stamps) {
		return false
	}
	if now := s.disk.Now(); now.Sub(s.looked) >= deepLook {
		if !s.disk.allCurrent(s.deep) {
			return false
		}
		s.looked = now
	}
	return true
}

// read reads the first existing bundle, and all directories.
func (s *systemBundle) read(rec *recorder, env [2]string) (pool *x509.CertPool, found bool) {
	files, dirs := systemFiles, systemDirs
	if env[0] != "" {
		files = []string{env[0]}
	}
	if env[1] != "" {
		dirs = strings.Split(env[1], string(filepath.ListSeparator))
	}
	pool = x509.NewCertPool()
	s.stamps, s.deep = nil, nil
	if len(systemFiles) == 0 {
		return pool, false
	}
	for _, file := range files {
		data, err := rec.read(absolute(file))
		if err == nil {
			found = appendRoots(pool, data) || found
			break
		}
	}
	s.stamps, rec.stamps = rec.stamps, nil
	for _, dir := range dirs {
		dir = absolute(dir)
		s.stamps = append(s.stamps, s.disk.stamp(dir))
		entries, err := s.disk.ReadDir(dir)
		if mayPass(err) {
			s.stamps[len(s.stamps)-1].fresh, rec.unread = true, true
		}
		if err != nil {
			continue
		}
		for _, entry := range entries {
			if entry.IsDir() || isAlias(dir, entry) {
				continue
			}
			if data, err := rec.read(filepath.Join(dir, entry.Name())); err == nil {
				found = appendRoots(pool, data) || found
			}
		}
	}
	s.deep = rec.stamps
	return pool, found
}

// appendRoots adds the usable certificates of a file, as AppendCertsFromPEM of
// [x509.CertPool] does, in time linear in the file's size.
func appendRoots(pool *x509.CertPool, data []byte) bool {
	f := &file{data: data, vouches: serverAuth}
	read, err := f.certificates()
	if err != nil {
		return false
	}
	for _, cert := range read.certs {
		pool.AddCert(cert)
	}
	return true
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// isAlias reports whether an entry is a link to another one in the same directory, as
// OpenSSL's hash names are.
func isAlias(dir string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return false
	}
	target, err := os.Readlink(filepath.Join(dir, entry.Name()))
	return err == nil && !strings.ContainsRune(target, filepath.Separator)
}
