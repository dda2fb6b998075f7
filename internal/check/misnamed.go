package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// nextForContent returns how to rename a file whose name is not recognized, judging by
// its content, or "" if that does not tell.
func (s survey) nextForContent(p *certsd.Problem) string {
	x := s.files.examine(p.File)
	base := strings.TrimSuffix(filepath.Base(p.File), filepath.Ext(p.File))
	switch {
	case p.Meant != "":
		return ""
	case len(x.Certificates) > 0 && x.Certificates[0].IsCA:
		return renameIt(p, base+".crt")
	case len(x.Certificates) > 0:
		return renameIt(p, base+".cert")
	case x.Key != "":
		return renameIt(p, keyName(filepath.Dir(p.File), base)+".key")
	}
	return ""
}

func renameIt(p *certsd.Problem, name string) string {
	return "rename it to " + name + ": " + plainfile.Rename(p.File, name)
}

// keyName returns the base name that a key file should have: that of the certificate
// without a key, if there is only one.
func keyName(dir, base string) string {
	certs, _ := filepath.Glob(filepath.Join(dir, "*.cert"))
	certs = slices.DeleteFunc(certs, func(cert string) bool {
		_, err := os.Stat(strings.TrimSuffix(cert, ".cert") + ".key")
		return err == nil
	})
	if len(certs) == 1 {
		return strings.TrimSuffix(filepath.Base(certs[0]), ".cert")
	}
	for _, suffix := range []string{"-key", "_key", ".key"} {
		base = strings.TrimSuffix(base, suffix)
	}
	return base
}
