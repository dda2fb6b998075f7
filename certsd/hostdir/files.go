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

// caResult is the result of reading several CA files.
type caResult struct {
	cas []CA
	bad []*Problem
}

// ca reads a CA file into r; at says where to report a problem.
func (l *loader) ca(r *caResult, name string, at *Problem) {
	path := l.path(name)
	read, err := l.readCA(name)
	if l.vanished(name, at, err) {
		return
	}
	last, found := l.lastCA(path)
	if err != nil {
		at.Code, at.Err = codeOf(err, CAUnusable), withFile(at, path, err)
		if !found || errors.Is(err, fs.ErrNotExist) {
			r.bad = append(r.bad, at)
			return
		}
		l.keep(at)
		l.useCA(r, last, l.last.loaded.bad[path])
		return
	}
	if note := read.note(); note != nil {
		at.Code, at.Err = CAPartlyUnusable, withFile(at, path, note)
		if found && read.torn(l.last.loaded.bad[path]) {
			l.keep(at)
			l.useCA(r, last, l.last.loaded.bad[path])
			return
		}
		l.add(at)
	}
	l.useCA(r, CA{File: path, Certificates: read.certs}, read.known())
}

// useCA takes CA roots into r; bad is what of their file could not be used.
func (l *loader) useCA(r *caResult, ca CA, bad knownBad) {
	l.dir.loaded.cas[ca.File], l.dir.loaded.bad[ca.File] = ca, bad
	r.cas = append(r.cas, ca)
}

func (l *loader) readCA(name string) (*certificates, error) {
	f, err := l.file(name)
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

func (l *loader) lastCA(path string) (CA, bool) {
	if l.last == nil {
		return CA{}, false
	}
	ca, found := l.last.loaded.cas[path]
	return ca, found
}

// settleCAs decides what the unusable CA files of a set mean: they are
// failures. On a reload they are passed over while another CA is left; with
// none left the system's roots would take their place, which nobody asked for.
func (l *loader) settleCAs(r caResult) []CA {
	for _, p := range r.bad {
		p.Severity = Failure
		if l.last != nil && len(r.cas) > 0 {
			p.Severity = Warning
		}
		l.add(p)
	}
	return r.cas
}

// pairResult is the result of reading several client certificates.
type pairResult struct {
	identities []*Identity
	// bad are those of no use, unread those with a file that could not be
	// read.
	bad, unread []*Problem
}

// pair reads a client certificate into r; at says where a problem is to be
// reported.
func (l *loader) pair(r *pairResult, certName, keyName string, at *Problem) {
	id, chain, err := l.readPair(certName, keyName)
	if l.vanished(certName, at, err) {
		return
	}
	last, path := l.lastPair(certName, keyName), l.path(certName)
	if err != nil {
		if !l.keepPair(r, last, at, [2]string{certName, keyName}, err) {
			return
		}
		id = last
	} else if note := chain.note(); note != nil {
		at.Code, at.Err = PairPartlyUnusable, withFile(at, path, note)
		if last != nil && chain.torn(l.last.loaded.bad[path]) {
			l.keep(at)
			id = last
		} else {
			l.add(at)
		}
	}
	var bad knownBad
	if id == last {
		bad = l.last.loaded.bad[path]
	} else {
		bad = chain.known()
	}
	if last != nil && sameIdentity(last, id) {
		// What was learnt about it stays with it.
		id = last
	}
	l.dir.loaded.bad[path] = bad
	l.dir.loaded.pairs[l.pairKey(certName, keyName)] = id
	r.identities = append(r.identities, id)
}

// keepPair tells what is wrong with a client certificate, and reports whether
// the last one of the same files stays in use.
func (l *loader) keepPair(r *pairResult, last *Identity, at *Problem, pair [2]string, err error) bool {
	path := l.path(pair[0])
	var read *readError
	unread := errors.As(err, &read)
	if unread {
		path = l.path(read.name)
	}
	at.Code, at.Err = codeOf(err, PairUnusable), withFile(at, path, err)
	if unread {
		at.File = fileOf(at, path)
	}
	if cert, key := pair[0], pair[1]; at.Code == KeyMismatch && at.Key == "" && key != cert {
		at.next = l.rightKey(cert, key)
	}
	switch {
	case last != nil && !errors.Is(err, fs.ErrNotExist):
		l.keep(at)
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

func (l *loader) pairKey(certName, keyName string) [2]string {
	return [2]string{l.path(certName), l.path(keyName)}
}

func (l *loader) lastPair(certName, keyName string) *Identity {
	if l.last == nil {
		return nil
	}
	return l.last.loaded.pairs[l.pairKey(certName, keyName)]
}

// settlePairs decides what the unusable client certificates of a set mean:
// nothing but a warning while another one is usable. On a reload the set may
// become empty, because taking the last one away is a valid change. A file
// that is there and cannot be read is always a failure at first.
func (l *loader) settlePairs(r pairResult) []*Identity {
	for i, p := range slices.Concat(r.unread, r.bad) {
		p.Severity = Warning
		if unread := i < len(r.unread); l.last == nil && (unread || len(r.identities) == 0) {
			p.Severity = Failure
		}
		l.add(p)
	}
	return r.identities
}

// vanished reports whether a Docker file was removed after the directory was
// listed, or is a link to a directory. A link to nothing is another matter.
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

// readError reports that a file could not be read, as opposed to not used.
type readError struct {
	name string
	err  error
}

func (e *readError) Error() string { return "cannot be read: " + cause(e.err).Error() }
func (e *readError) Unwrap() error { return e.err }

// withFile puts the path of the file in front of the cause where the problem
// is reported for the file that names it.
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
