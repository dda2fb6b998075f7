package certsd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// Directory is the content of one host directory.
type Directory struct {
	// Path is the directory, as it appears in file names and messages.
	Path string
	// CAs are the CA roots, every *.crt, and Identities the client
	// certificates, every NAME.cert with its NAME.key, both in the order of
	// their file names, bytewise.
	CAs        []CA
	Identities []*Identity
	// Problems are what is wrong, in the order in which it was found.
	Problems []*Problem

	// says tells that there is something in the directory that counts: an
	// empty directory does not hide another.
	says bool
}

// LoadOptions say how [Load] names and reads files. Its zero value is for a
// directory without a path.
type LoadOptions struct {
	// Path is the directory's path, for file names and messages and as the
	// base of relative paths that leave the directory.
	Path string
	// ReadFile reads the files outside the directory that a hosts.toml names.
	// nil reads them from the disk.
	ReadFile func(path string) ([]byte, error)
}

// Load reads one host directory from a file system. The error joins each
// [Problem] that is a [Failure]; the Directory is there in any case and holds
// what could be read.
func Load(fsys fs.FS, o LoadOptions) (*Directory, error) {
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	return load(fsSource{fsys, o.ReadFile}, o.Path, nil)
}

func load(src source, path string, last *Directory) (*Directory, error) {
	l := &loader{src: src, last: last, dir: &Directory{Path: path}}
	entries, err := src.list()
	if err != nil {
		l.fail(path, fmt.Errorf("cannot list the directory: %w", cause(err)))
		return l.dir, failures(l.dir.Problems)
	}
	l.docker(entries)
	return l.dir, failures(l.dir.Problems)
}

// loader reads one directory.
type loader struct {
	src  source
	dir  *Directory
	last *Directory
	// unusable are the client certificates that are of no use: failures when
	// no other is left.
	unusable []*Problem
}

func (l *loader) fail(file string, err error) {
	l.dir.Problems = append(l.dir.Problems, &Problem{Severity: Failure, File: file, Err: err})
}

func (l *loader) warn(file string, err error) {
	l.dir.Problems = append(l.dir.Problems, &Problem{Severity: Warning, File: file, Err: err})
}

// path is the full path of a file in the directory.
func (l *loader) path(name string) string { return filepath.Join(l.dir.Path, name) }

// docker reads the files of Docker's layout.
func (l *loader) docker(entries []fs.DirEntry) {
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	has := func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found
	}
	for _, name := range names {
		base := strings.TrimSuffix(name, filepath.Ext(name))
		switch filepath.Ext(name) {
		case ".crt":
			l.dir.says = true
			l.ca(name)
		case ".cert":
			l.dir.says = true
			key := base + ".key"
			if !has(key) {
				key = name
			}
			l.pair(name, key)
		case ".key":
			l.dir.says = true
			if !has(base + ".cert") {
				l.lone(name, base)
			}
		}
	}
	l.judge()
}

func (l *loader) ca(name string) {
	data, err := l.src.read(name)
	if err != nil {
		if !errors.Is(err, errDirectory) {
			l.fail(l.path(name), fmt.Errorf("cannot read the CA file: %w", cause(err)))
		}
		return
	}
	certs, note, err := parseCertificates(data)
	if err != nil {
		l.fail(l.path(name), fmt.Errorf("unusable CA file: %w", err))
		return
	}
	if note != nil {
		l.warn(l.path(name), note)
	}
	l.dir.CAs = append(l.dir.CAs, CA{File: l.path(name), Certificates: certs})
}

func (l *loader) pair(certName, keyName string) {
	certPEM, err := l.src.read(certName)
	if err != nil {
		l.fail(l.path(certName), fmt.Errorf("cannot read the client certificate: %w", cause(err)))
		return
	}
	keyPEM := certPEM
	if keyName != certName {
		if keyPEM, err = l.src.read(keyName); err != nil {
			l.fail(l.path(keyName), fmt.Errorf("cannot read the private key: %w", cause(err)))
			return
		}
	} else if !hasPrivateKey(certPEM) {
		l.skip(certName, fmt.Errorf("no matching %s.key, and no private key in the file itself",
			strings.TrimSuffix(certName, ".cert")))
		return
	}
	pair, err := parsePair(certPEM, keyPEM)
	if err != nil {
		l.skip(certName, err)
		return
	}
	l.dir.Identities = append(l.dir.Identities, &Identity{
		Name:        certName,
		CertFile:    l.path(certName),
		KeyFile:     l.path(keyName),
		Certificate: pair,
	})
}

func (l *loader) lone(keyName, base string) {
	l.skip(keyName, fmt.Errorf("no matching %s.cert", base))
}

// skip notes a client certificate that cannot be used.
func (l *loader) skip(name string, err error) {
	l.unusable = append(l.unusable, &Problem{File: l.path(name), Err: err})
}

// judge decides whether the unusable client certificates matter: they do when
// there is no usable one beside them.
func (l *loader) judge() {
	for _, p := range l.unusable {
		if len(l.dir.Identities) == 0 {
			p.Severity = Failure
		}
		l.dir.Problems = append(l.dir.Problems, p)
	}
}
