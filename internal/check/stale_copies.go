package check

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/migrate"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// copySurvey looks for outdated copies of certificates.
type copySurvey struct{ dossier }

// staleCopies finds certificates that hide one of the same name which was issued later:
// Docker's directory was copied, and only the original is renewed.
func (s copySurvey) staleCopies() {
	candidates := s.inspection.Candidates
	for i, c := range candidates {
		if c.State != hostdir.Used {
			continue
		}
		for _, source := range s.sources(c, candidates[i+1:]) {
			for _, name := range c.Files {
				s.staleCopy(filepath.Join(c.Path, name), filepath.Join(source, name))
			}
		}
	}
}

// sources returns the directories that c may be a copy of: those for the same host in
// later roots, and those that its hosts.toml was made from.
func (s copySurvey) sources(c hostdir.Candidate, later []hostdir.Candidate) []string {
	var dirs []string
	add := func(dir string) {
		if dir != c.Path && !slices.Contains(dirs, dir) && len(dirs) < maxNamed {
			dirs = append(dirs, dir)
		}
	}
	for _, other := range later {
		if other.For == c.For && len(other.Files) > 0 && filepath.Dir(other.Path) != filepath.Dir(c.Path) {
			add(other.Path)
		}
	}
	// A hosts.toml that cannot be read has its own finding.
	text, _ := plainfile.ReadText(filepath.Join(c.Path, kindHosts))
	for _, dir := range migrate.MadeOf(text) {
		if filepath.IsAbs(dir) && sameHost(dir, c.Path) && isDir(dir) {
			add(dir)
		}
	}
	return dirs
}

// sameHost reports whether two directories are named after the same host.
func sameHost(a, b string) bool {
	a, b = filepath.Base(a), filepath.Base(b)
	x, errX := hostname.OfDirectory(a)
	y, errY := hostname.OfDirectory(b)
	return a == b || errX == nil && errY == nil && x == y
}

func (s copySurvey) staleCopy(path, source string) {
	ext := filepath.Ext(path)
	if ext != ".crt" && ext != ".cert" {
		return
	}
	if _, err := os.Stat(source); err != nil {
		return
	}
	here, there := newest(s.files.examine(path).Certificates), newest(s.files.examine(source).Certificates)
	if here.IsZero() || !there.After(here) {
		return
	}
	files := shellWord(source)
	if key := strings.TrimSuffix(source, ext) + ".key"; ext == ".cert" && exists(key) {
		files += " " + shellWord(key)
	}
	s.find(Finding{
		Code: CopyStale, Where: path,
		Message: "is stale: " + source + ", of the same name, was issued later, but this one is used",
		Next:    "if this one is its copy: cp " + files + " " + shellWord(filepath.Dir(path)+"/"),
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// newest returns the latest time at which one of the certificates becomes valid.
func newest(certs []*x509.Certificate) time.Time {
	var at time.Time
	for _, cert := range certs {
		if cert.NotBefore.After(at) {
			at = cert.NotBefore
		}
	}
	return at
}
