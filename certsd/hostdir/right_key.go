package hostdir

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxTried bounds how many keys of a directory are tried for certificates whose key
// file belongs to another one.
const maxTried = 256

// keyFinder looks for keys that stand beside another certificate.
type keyFinder struct{ *loader }

// of says which file of the directory is the key of a certificate beside
// which there is another one's, and the command that puts it there. It is empty
// if there is none, or the directory has too many.
func (l keyFinder) of(certName, keyName string) string {
	cert, err := l.file(certName)
	if err != nil {
		return ""
	}
	chain, err := cert.certificates()
	if err != nil {
		return ""
	}
	for _, name := range l.names {
		if filepath.Ext(name) != ".key" || name == keyName || l.named[name] || l.tried >= maxTried {
			continue
		}
		l.tried++
		file, err := l.file(name)
		if err != nil {
			continue
		}
		if key, err := parseKey(file); err == nil && matches(chain.certs[0], key) {
			return l.exchange(keyName, name)
		}
	}
	return ""
}

// exchange returns the command that puts the key in file other into file key. A key
// that no other certificate needs is moved, one that another needs is copied, and if
// each is beside the other's certificate they change places.
func (l keyFinder) exchange(key, other string) string {
	base := strings.TrimSuffix(other, ".key")
	here, there := plainfile.Quote(l.path(key)), plainfile.Quote(l.path(other))
	aside := plainfile.Quote(l.path(key) + ".old")
	beside := base + ".cert"
	if _, found := slices.BinarySearch(l.names, beside); !found {
		return fmt.Sprintf("its key is %[1]s: mv %[2]s %[3]s && mv %[4]s %[2]s", other, here, aside, there)
	}
	if l.belongs(beside, key) {
		return fmt.Sprintf("its key is beside %[1]s, whose own is here: mv %[2]s %[3]s && mv %[4]s %[2]s && mv %[3]s %[4]s", beside, here, aside, there)
	}
	return fmt.Sprintf("its key is beside %[1]s: mv %[2]s %[3]s && cp -p %[4]s %[2]s", beside, here, aside, there)
}

// belongs reports whether a certificate file and a key file are a pair.
func (l keyFinder) belongs(cert, key string) bool {
	_, _, err := l.readPair(cert, key)
	return err == nil
}
