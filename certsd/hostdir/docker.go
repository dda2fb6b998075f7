package hostdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// dockerReader reads the files of a directory in Docker's layout.
type dockerReader struct{ *loader }

// read reads those of the sorted names that are in Docker's layout.
func (l dockerReader) read(names []string) {
	has := func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found
	}
	cas, pairs := caReader{loader: l.loader}, pairReader{loader: l.loader}
	for _, name := range names {
		ext := filepath.Ext(name)
		base := strings.TrimSuffix(name, ext)
		if l.named[name] || base == "" {
			continue
		}
		switch ext {
		case ".crt":
			l.dir.says = true
			if !has(base+".cert") && has(base+".key") && !l.named[base+".key"] && l.disguised(&pairs, base) {
				continue
			}
			cas.read(name, l.about(name, ofFile))
		case ".cert":
			l.dir.says = true
			key := base + ".key"
			if !has(key) {
				key = name
			}
			pairs.read(name, key, l.about(name, ofPair))
		case ".key":
			l.dir.says = true
			known := has(base+".cert") || has(base+".crt") && l.ownKey(base)
			if !known {
				p := l.about(name, ofPair)
				p.Code, p.Err = CertificateMissing, fmt.Errorf("no matching %s.cert", base)
				pairs.bad = append(pairs.bad, p)
			}
		}
	}
	for _, p := range pairs.unread {
		p.kind = ofFile
	}
	l.dir.CAs = cas.settle()
	l.dir.Identities = pairs.settle()
}

// about returns an unfinished problem with a Docker file.
func (l *loader) about(name string, kind problemKind) *Problem {
	return &Problem{File: l.path(name), kind: kind}
}

// disguised reports whether NAME.crt, with a NAME.key, is a client certificate with the
// suffix of a CA, and adds a problem. Such a file is not used as a CA, unless the
// certificate is self-signed: then it may be the server's.
func (l dockerReader) disguised(r *pairReader, base string) bool {
	id, _, err := l.readPair(base+".crt", base+".key")
	if err != nil {
		return false
	}
	p := l.about(base+".crt", ofPair)
	leaf := id.Certificate.Leaf
	if string(leaf.RawIssuer) == string(leaf.RawSubject) || leaf.IsCA {
		p.Code = CAWithKey
		p.Err = nextstep.Told(fmt.Errorf("is used as a CA although %s.key beside it is its key", base),
			fmt.Sprintf("if it is a client certificate, rename to %s.cert", base),
			fmt.Sprintf("if it is a client certificate, rename %[1]s.crt to %[1]s.cert: %[2]s", base, plainfile.Rename(p.File, base+".cert")))
		l.add(p)
		return false
	}
	told := fmt.Sprintf("rename to %s.cert", base)
	next := fmt.Sprintf("rename %[1]s.crt to %[1]s.cert: %[2]s", base, plainfile.Rename(p.File, base+".cert"))
	if base == "tls" {
		// The names in a Kubernetes secret of type kubernetes.io/tls.
		told = "rename to client.cert, and tls.key to client.key"
		next = fmt.Sprintf("rename tls.crt to client.cert, and tls.key to client.key: %s && %s",
			plainfile.Rename(p.File, "client.cert"), plainfile.Rename(l.path("tls.key"), "client.key"))
	}
	p.Code, p.Err = WrongSuffix, nextstep.Told(errors.New("looks like a client certificate"), told, next)
	r.bad = append(r.bad, p)
	return true
}

// ownKey reports whether NAME.key belongs to NAME.crt, which disguised has already
// reported.
func (l dockerReader) ownKey(base string) bool {
	_, _, err := l.readPair(base+".crt", base+".key")
	return err == nil
}

// misnamed maps names of files that were probably meant to be read to the right names.
var misnamed = map[string]string{
	"host.toml":      hostsTOML,
	"hosts.tml":      hostsTOML,
	"host.tml":       hostsTOML,
	"hosts.toml.txt": hostsTOML,
	"hosts.yaml":     hostsTOML,
	"hosts.yml":      hostsTOML,
	"hosts.conf":     hostsTOML,
	"config.toml":    hostsTOML,
}

// directory warns about a directory in place of a file: container runtimes create one
// when a file to mount is missing.
func (l *loader) directory(name string) {
	if name != hostsTOML && !slices.Contains([]string{".crt", ".cert", ".key"}, filepath.Ext(name)) {
		return
	}
	p := l.about(name, ofDirectory)
	p.Code, p.Err = FileName, errors.New("is not read: it is a directory")
	p.next = "remove the directory, which container runtimes create when a file to mount is missing, and put the file in its place"
	l.add(p)
}

// extract returns the command that converts a file into a format that is read.
func extract(path, command, ext string) string {
	pem := strings.TrimSuffix(path, filepath.Ext(path)) + ext
	return "convert it: " + fmt.Sprintf(command, plainfile.Quote(path), plainfile.Quote(pem))
}

// nearMisses warns about files that are not read although their names suggest that
// they were meant to be.
func (l dockerReader) nearMisses(names []string) {
	for _, name := range names {
		if l.named[name] {
			continue
		}
		p := l.about(name, ofDirectory)
		p.Code = FileName
		lower := strings.ToLower(name)
		ext := filepath.Ext(lower)
		switch {
		case misnamed[lower] != "":
			p.Meant = misnamed[lower]
			p.Err, p.next = fmt.Errorf("is not read: did you mean %s?", p.Meant), renameIt(p.File, p.Meant)
		case lower == hostsTOML && name != hostsTOML:
			p.Err, p.next = errors.New("is not read: the name must be in lower case"), renameIt(p.File, lower)
		case name != lower && slices.Contains([]string{".crt", ".cert", ".key"}, ext) && filepath.Ext(name) != ext:
			p.Err = fmt.Errorf("is not read: the suffix must be %s, in lower case", ext)
			p.next = renameIt(p.File, strings.TrimSuffix(name, filepath.Ext(name))+ext)
		case ext == ".p12" || ext == ".pfx":
			p.Err, p.next = errors.New("is not read: PKCS #12 must be converted to PEM"), extract(p.File, "openssl pkcs12 -nodes -in %s -out %s", ".cert")
		case ext == ".p7b" || ext == ".p7c":
			p.Err, p.next = errors.New("is not read: PKCS #7 must be converted to PEM"), extract(p.File, "openssl pkcs7 -print_certs -in %s -out %s", ".crt")
		case ext == ".pem" || ext == ".cer":
			p.Err = errors.New("is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate")
			p.next = fmt.Sprintf("rename it to %[1]s.crt or %[1]s.cert", strings.TrimSuffix(name, filepath.Ext(name)))
		default:
			continue
		}
		l.add(p)
	}
}

func renameIt(path, name string) string {
	return "rename it to " + name + ": " + plainfile.Rename(path, name)
}
