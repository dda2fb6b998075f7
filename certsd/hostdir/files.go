package hostdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// caReader reads several CA files.
type caReader struct {
	*loader
	cas []CA
	bad []*Problem
}

// read reads a CA file; a problem is reported at the place in at.
func (r *caReader) read(name string, at *Problem) {
	path := r.path(name)
	read, err := r.certificates(name)
	if r.vanished(name, at, err) {
		return
	}
	last, found := r.lastOf(path)
	if err != nil {
		at.Code, at.Err = codeOf(err, CAUnusable), withFile(at, path, err)
		if !found || errors.Is(err, fs.ErrNotExist) {
			r.bad = append(r.bad, at)
			return
		}
		r.keep(at)
		r.use(last, r.last.loaded.bad[path])
		return
	}
	if note := read.note(); note != nil {
		at.Code, at.Err = CAPartlyUnusable, withFile(at, path, note)
		if found && read.torn(r.last.loaded.bad[path]) {
			r.keep(at)
			r.use(last, r.last.loaded.bad[path])
			return
		}
		r.add(at)
	}
	r.use(CA{File: path, Certificates: read.certs}, read.known())
}

// use adds CA roots; bad are the parts of their file that cannot be used.
func (r *caReader) use(ca CA, bad knownBad) {
	r.dir.loaded.cas[ca.File], r.dir.loaded.bad[ca.File] = ca, bad
	r.cas = append(r.cas, ca)
}

func (r *caReader) certificates(name string) (*certificates, error) {
	f, err := r.file(name)
	if err != nil {
		return nil, err
	}
	f.vouches = serverAuth
	read, err := f.certificates()
	if err != nil {
		return nil, fmt.Errorf("unusable CA file: %w", err)
	}
	return read, nil
}

// file reads a file of the directory, or another one.
func (l *loader) file(name string) (*file, error) {
	if err := l.enough(); err != nil {
		return nil, err
	}
	data, err := l.src.read(name)
	if err != nil {
		return nil, &readError{name, err}
	}
	if err := l.count(name, len(data)); err != nil {
		return nil, err
	}
	return &file{path: l.path(name), data: data}, nil
}

func (r *caReader) lastOf(path string) (CA, bool) {
	if r.last == nil {
		return CA{}, false
	}
	ca, found := r.last.loaded.cas[path]
	return ca, found
}

// settle gives the unusable CA files of a set their severity: they are failures, but on
// a reload only warnings while another CA is left. With none left the system's roots
// would take their place, which nobody asked for.
func (r *caReader) settle() []CA {
	for _, p := range r.bad {
		p.Severity = Failure
		if r.last != nil && len(r.cas) > 0 {
			p.Severity = Warning
		}
		r.add(p)
	}
	return r.cas
}

// pairReader reads several client certificates.
type pairReader struct {
	*loader
	identities []*Identity
	// bad are the problems with unusable ones, unread with files that cannot be read.
	bad, unread []*Problem
}

// read reads a client certificate; a problem is reported at the place in at.
func (r *pairReader) read(certName, keyName string, at *Problem) {
	id, chain, err := r.readPair(certName, keyName)
	if r.vanished(certName, at, err) {
		return
	}
	last, path := r.lastOf(certName, keyName), r.path(certName)
	if err != nil {
		if !r.keepLast(last, at, [2]string{certName, keyName}, err) {
			return
		}
		id = last
	} else if note := chain.note(); note != nil {
		at.Code, at.Err = PairPartlyUnusable, withFile(at, path, note)
		if last != nil && chain.torn(r.last.loaded.bad[path]) {
			r.keep(at)
			id = last
		} else {
			r.add(at)
		}
	}
	var bad knownBad
	if id == last {
		bad = r.last.loaded.bad[path]
	} else {
		bad = chain.known()
	}
	if last != nil && sameIdentity(last, id) {
		// What is remembered about the identity is kept with it.
		id = last
	}
	r.dir.loaded.bad[path] = bad
	r.dir.loaded.pairs[r.key(certName, keyName)] = id
	r.identities = append(r.identities, id)
}

// keepLast records what is wrong with a client certificate, and reports whether the
// last one from the same files stays in use.
func (r *pairReader) keepLast(last *Identity, at *Problem, pair [2]string, err error) bool {
	path := r.path(pair[0])
	var read *readError
	unread := errors.As(err, &read)
	if unread {
		path = r.path(read.name)
	}
	at.Code, at.Err = codeOf(err, PairUnusable), withFile(at, path, err)
	if unread {
		at.File = fileOf(at, path)
	}
	if cert, key := pair[0], pair[1]; at.Code == KeyMismatch && at.Key == "" && key != cert {
		at.next = keyFinder{r.loader}.of(cert, key)
	}
	switch {
	case last != nil && !errors.Is(err, fs.ErrNotExist):
		r.keep(at)
		return true
	case unread:
		r.unread = append(r.unread, at)
	default:
		r.bad = append(r.bad, at)
	}
	return false
}

func (l *loader) readPair(certName, keyName string) (*Identity, *certificates, error) {
	cert, err := l.file(certName)
	if err != nil {
		return nil, nil, err
	}
	key := cert
	if keyName != certName {
		if key, err = l.file(keyName); err != nil {
			return nil, nil, err
		}
	} else if _, elsewhere := cert.isElsewhere(); !elsewhere && !hasPrivateKey(cert.blocks()) && hasCertificate(cert.blocks()) {
		if base, ok := strings.CutSuffix(certName, ".cert"); ok {
			return nil, nil, &codedError{KeyMissing, fmt.Errorf("no matching %s.key, and no private key in the file itself", filepath.Base(base))}
		}
		return nil, nil, &codedError{KeyMissing, errors.New("no private key in the file")}
	}
	pair, chain, err := parsePair(cert, key, l.keys)
	if err != nil {
		return nil, nil, err
	}
	id := &Identity{
		Name:        filepath.Base(certName),
		CertFile:    l.path(certName),
		KeyFile:     l.path(keyName),
		Certificate: pair,
		reference:   key.reference(),
	}
	id.subject, id.issuer = id.Names()
	return id, chain, nil
}

func (r *pairReader) key(certName, keyName string) [2]string {
	return [2]string{r.path(certName), r.path(keyName)}
}

func (r *pairReader) lastOf(certName, keyName string) *Identity {
	if r.last == nil {
		return nil
	}
	return r.last.loaded.pairs[r.key(certName, keyName)]
}

// settle gives the unusable client certificates of a set their severity: warnings while
// another one is usable. On a reload the set may become empty, because removing the
// last one is a valid change. At the first load a file that exists but cannot be read
// is always a failure.
func (r *pairReader) settle() []*Identity {
	for i, p := range slices.Concat(r.unread, r.bad) {
		p.Severity = Warning
		if unread := i < len(r.unread); r.last == nil && (unread || len(r.identities) == 0) {
			p.Severity = Failure
		}
		r.add(p)
	}
	return r.identities
}

// vanished reports whether a Docker file was removed after the directory was listed, or
// is a link to a directory. A dangling link does not count as removed.
func (l *loader) vanished(name string, at *Problem, err error) bool {
	switch {
	case at.Key != "":
		return false
	case errors.Is(err, plainfile.ErrDirectory):
		var read *readError
		if errors.As(err, &read) {
			name = read.name
		}
		l.directory(name)
		return true
	}
	return !l.links[name] && errors.Is(err, fs.ErrNotExist)
}

// readError reports that a file could not be read, as opposed to being unusable.
type readError struct {
	name string
	err  error
}

func (e *readError) Error() string { return "cannot be read: " + cause(e.err).Error() }
func (e *readError) Unwrap() error { return e.err }

// withFile prefixes the cause with the path of the file if the problem is reported at
// the hosts.toml that names it.
func withFile(at *Problem, path string, err error) error {
	if at.Key == "" {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

func fileOf(at *Problem, path string) string {
	if at.Key == "" {
		return path
	}
	return at.File
}
