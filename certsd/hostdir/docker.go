package hostdir

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// docker reads the files of Docker's layout out of the sorted names.
func (l *loader) docker(names []string) {
	has := func(name string) bool {
		_, found := slices.BinarySearch(names, name)
		return found
	}
	var cas caResult
	var pairs pairResult
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
			l.ca(&cas, name, l.about(name, ofFile))
		case ".cert":
			l.dir.says = true
			key := base + ".key"
			if !has(key) {
				key = name
			}
			l.pair(&pairs, name, key, l.about(name, ofPair))
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
	l.dir.CAs = l.settleCAs(cas)
	l.dir.Identities = l.settlePairs(pairs)
}

// about begins a problem with a Docker file.
func (l *loader) about(name string, kind problemKind) *Problem {
	return &Problem{File: l.path(name), kind: kind}
}

// disguised recognises a client certificate with the suffix of a CA, NAME.crt
// with its NAME.key, and reports it. It is not taken for a CA then, unless it
// is self-signed: such a certificate may well be the server's.
func (l *loader) disguised(r *pairResult, base string) bool {
	id, _, err := l.readPair(base+".crt", base+".key")
	if err != nil {
		return false
	}
	p := l.about(base+".crt", ofPair)
	leaf := id.Certificate.Leaf
	if string(leaf.RawIssuer) == string(leaf.RawSubject) || leaf.IsCA {
		p.Code = CAWithKey
		p.Err = fmt.Errorf("is used as a CA although %[1]s.key beside it is its key: if it is a client certificate, rename to %[1]s.cert", base)
		l.add(p)
		return false
	}
	hint := fmt.Sprintf("rename to %s.cert", base)
	if base == "tls" {
		// The names in a Kubernetes secret of type kubernetes.io/tls.
		hint = "rename to client.cert, and tls.key to client.key"
	}
	p.Code, p.Err = WrongSuffix, errors.New("looks like a client certificate: "+hint)
	r.bad = append(r.bad, p)
	return true
}

// ownKey reports whether NAME.key belongs to NAME.crt, which is reported already.
func (l *loader) ownKey(base string) bool {
	_, _, err := l.readPair(base+".crt", base+".key")
	return err == nil
}

// misnamed are file names that were meant to be read, with what they should be.
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

// directory warns about a directory in the place of a file, which container
// runtimes make where a file to mount is not there.
func (l *loader) directory(name string) {
	if name != hostsTOML && !slices.Contains([]string{".crt", ".cert", ".key"}, filepath.Ext(name)) {
		return
	}
	p := l.about(name, ofDirectory)
	p.Code, p.Err = FileName, errors.New("is not read: it is a directory")
	l.add(p)
}

// extract is the command that makes a file that is read of one in another format.
func extract(path, command, ext string) string {
	pem := strings.TrimSuffix(path, filepath.Ext(path)) + ext
	return "convert it: " + fmt.Sprintf(command, plainfile.Quote(path), plainfile.Quote(pem))
}

// nearMisses warns about files that are not read although their names suggest
// that somebody wanted them to be.
func (l *loader) nearMisses(names []string) {
	warn := func(name, format string, args ...any) {
		p := l.about(name, ofDirectory)
		p.Code, p.Err = FileName, fmt.Errorf(format, args...)
		l.add(p)
	}
	unread := func(name, next, format string, args ...any) {
		p := l.about(name, ofDirectory)
		p.Code, p.next, p.Err = FileName, next, fmt.Errorf(format, args...)
		l.add(p)
	}
	for _, name := range names {
		lower := strings.ToLower(name)
		ext := filepath.Ext(lower)
		switch {
		case l.named[name]:
		case misnamed[lower] != "":
			warn(name, "is not read: did you mean %s?", misnamed[lower])
		case lower == hostsTOML && name != hostsTOML:
			warn(name, "is not read: the name must be in lower case")
		case name != lower && slices.Contains([]string{".crt", ".cert", ".key"}, ext) && filepath.Ext(name) != ext:
			warn(name, "is not read: the suffix must be %s, in lower case", ext)
		case ext == ".p12" || ext == ".pfx":
			unread(name, extract(l.path(name), "openssl pkcs12 -nodes -in %s -out %s", ".cert"), "is not read: PKCS #12 has to be made PEM")
		case ext == ".p7b" || ext == ".p7c":
			unread(name, extract(l.path(name), "openssl pkcs7 -print_certs -in %s -out %s", ".crt"), "is not read: PKCS #7 has to be made PEM")
		case ext == ".pem" || ext == ".cer":
			warn(name, "is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate")
		}
	}
}
