package certsd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// caResult is what came of reading several CA files.
type caResult struct {
	cas []CA
	bad []*Problem
}

// ca reads a CA file into r; at says where a problem is to be reported.
func (l *loader) ca(r *caResult, name string, at *Problem) {
	path := l.path(name)
	ca, note, err := l.readCA(name)
	if l.vanished(name, at, err) {
		return
	}
	if err != nil {
		at.Code, at.Err = codeOf(err, CAUnusable), withFile(at, path, err)
		if last, found := l.lastCA(path); found && !errors.Is(err, fs.ErrNotExist) {
			l.keep(at)
			ca = last
		} else {
			r.bad = append(r.bad, at)
			return
		}
	}
	if note != nil {
		at.Code, at.Err = CAPartlyUnusable, withFile(at, path, note)
		l.add(at)
	}
	l.dir.loaded.cas[path] = ca
	r.cas = append(r.cas, ca)
}

func (l *loader) readCA(name string) (ca CA, note, err error) {
	data, err := l.src.read(name)
	if err != nil {
		return CA{}, nil, &readError{name, err}
	}
	certs, note, err := parseCertificates(data)
	if err != nil {
		return CA{}, nil, fmt.Errorf("unusable CA file: %w", err)
	}
	return CA{File: l.path(name), Certificates: certs}, note, nil
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

// pairResult is what came of reading several client certificates.
type pairResult struct {
	identities []*Identity
	// bad are those of no use, unread those with a file that could not be
	// read.
	bad, unread []*Problem
}

// pair reads a client certificate into r; at says where a problem is to be
// reported.
func (l *loader) pair(r *pairResult, certName, keyName string, at *Problem) {
	id, err := l.readPair(certName, keyName)
	if l.vanished(certName, at, err) {
		return
	}
	if err != nil {
		path := l.path(certName)
		var read *readError
		unread := errors.As(err, &read)
		if unread {
			path = l.path(read.name)
		}
		at.Code, at.Err = codeOf(err, PairUnusable), withFile(at, path, err)
		if unread {
			at.File = fileOf(at, path)
		}
		last := l.lastPair(certName, keyName)
		switch {
		case last != nil && !errors.Is(err, fs.ErrNotExist):
			l.keep(at)
			id = last
		case unread:
			r.unread = append(r.unread, at)
			return
		default:
			r.bad = append(r.bad, at)
			return
		}
	}
	if last := l.lastPair(certName, keyName); last != nil && sameIdentity(last, id) {
		// What was learnt about it stays with it.
		id = last
	}
	l.dir.loaded.pairs[l.pairKey(certName, keyName)] = id
	r.identities = append(r.identities, id)
}

func (l *loader) readPair(certName, keyName string) (*Identity, error) {
	certPEM, err := l.src.read(certName)
	if err != nil {
		return nil, &readError{certName, err}
	}
	keyPEM := certPEM
	if keyName != certName {
		if keyPEM, err = l.src.read(keyName); err != nil {
			return nil, &readError{keyName, err}
		}
	} else if !hasPrivateKey(certPEM) && hasCertificate(certPEM) {
		if base, ok := strings.CutSuffix(certName, ".cert"); ok {
			return nil, &codedError{KeyMissing, fmt.Errorf("no matching %s.key, and no private key in the file itself", filepath.Base(base))}
		}
		return nil, &codedError{KeyMissing, errors.New("no private key in the file")}
	}
	pair, err := parsePair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	id := &Identity{
		Name:        filepath.Base(certName),
		CertFile:    l.path(certName),
		KeyFile:     l.path(keyName),
		Certificate: pair,
	}
	id.subject, id.issuer = id.names()
	return id, nil
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
	for _, p := range slices.Concat(r.unread, r.bad) {
		p.Severity = Warning
		switch {
		case l.last != nil:
		case slices.Contains(r.unread, p), len(r.identities) == 0:
			p.Severity = Failure
		}
		l.add(p)
	}
	return r.identities
}

// vanished tells that a Docker file was removed after the directory was
// listed, or is a link to a directory. A link to nothing is another matter.
func (l *loader) vanished(name string, at *Problem, err error) bool {
	switch {
	case at.Key != "":
		return false
	case errors.Is(err, errDirectory):
		var read *readError
		if errors.As(err, &read) {
			name = read.name
		}
		l.directory(name)
		return true
	}
	return !l.links[name] && errors.Is(err, fs.ErrNotExist)
}

// readError tells that a file could not be read, as opposed to not used.
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
