package hostdir

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxTried bounds the number of keys that are tried for certificates whose key file
// holds another certificate's key.
const maxTried = 256

// keyFinder looks for a certificate's key in the other key files of its directory.
type keyFinder struct{ *loader }

// of returns which file of the directory holds the key of certName, whose own file
// keyName holds another key, with the command that moves it. It is empty if no file
// does or the directory has too many.
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

// exchange returns the command that puts the key in file other into file key. The key
// is moved if no other certificate needs it, copied if one does, and the files are
// swapped if each is next to the other's certificate.
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
