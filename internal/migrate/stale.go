package migrate

import (
	"crypto/x509"
	"path/filepath"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/pemfile"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// noteStale notes copies in the tree that are older than their sources, which are the
// ones being renewed.
func (p noter) noteStale() {
	for _, h := range p.docker {
		for _, ca := range h.ca {
			p.noteCopy(ca, ca.source)
		}
		for _, pair := range h.client {
			sources := []string{pair.cert.source}
			if pair.key != pair.cert {
				sources = append(sources, pair.key.source)
			}
			p.noteCopy(pair.cert, sources...)
		}
	}
}

func (p noter) noteCopy(f *file, sources ...string) {
	if f.stale {
		for i := range sources {
			sources[i] = plainfile.Quote(sources[i])
		}
		p.notes.add(Todo, place{file: f.inWay}, "is stale: %s was issued later; cp %s %s/", f.source, strings.Join(sources, " "), plainfile.Quote(filepath.Dir(f.inWay)))
	}
}

// issuedLater reports whether the newest certificate in file starts later than the
// newest in than.
func issuedLater(file, than []byte) bool {
	a, b := newest(file), newest(than)
	return !a.IsZero() && !b.IsZero() && a.After(b)
}

func newest(file []byte) time.Time {
	var at time.Time
	for _, block := range pemfile.Scan(file) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.NotBefore.After(at) {
			at = cert.NotBefore
		}
	}
	return at
}
