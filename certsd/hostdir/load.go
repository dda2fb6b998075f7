package hostdir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// hostsTOML is the name of containerd's file in a host directory.
const hostsTOML = "hosts.toml"

// Directory is the content of one host directory.
type Directory struct {
	// Path is the directory as it appears in file names and messages.
	Path string
	// CAs are the CA roots, every *.crt, and Identities the client certificates, every
	// NAME.cert with its NAME.key, both in bytewise order of their file names. A file
	// that hosts.toml names belongs to the endpoints there and is not included.
	CAs        []CA
	Identities []*Identity
	// Problems are in the order in which they were found.
	Problems []*Problem

	// config is the hosts.toml, nil if it is absent or empty.
	config *hostsFile
	// hosts reports whether a hosts.toml exists that is not empty.
	hosts bool
	// says reports whether anything in the directory is used: an empty directory
	// does not hide another.
	says bool
	// loaded is everything that was read, by file: a later load may keep it in use.
	loaded loaded
}

// loaded is usable content by file.
type loaded struct {
	cas   map[string]CA
	pairs map[[2]string]*Identity
	// bad holds the unusable parts of each file of CA roots or certificates.
	bad map[string]knownBad
}

// LoadOptions says how [Load] names and reads files. Its zero value suits a directory
// without a path.
type LoadOptions struct {
	// Path is the directory's path, for file names and messages and as the
	// base of relative paths that leave the directory.
	Path string
	// ReadFile reads the files outside the directory that a hosts.toml names.
	// nil reads them from the disk.
	ReadFile func(path string) ([]byte, error)
	// Keys opens keys that are not in files; nil opens none.
	Keys KeyOpener
}

// Load reads one host directory from a file system. The error joins each [Problem]
// that is a [Failure]; the Directory is never nil and holds what could be read.
func Load(fsys fs.FS, o LoadOptions) (*Directory, error) {
	if o.ReadFile == nil {
		o.ReadFile = plainfile.Read
	}
	dir := load(fsSource{fsys, o.Path, o.ReadFile}, o.Path, nil, o.Keys)
	return dir, failures(dir.Problems)
}

// load reads a directory. With last, its last good content, it is a reload: a file
// that exists but cannot be used is then considered half-written, and what was last
// read from it stays in use.
func load(src source, path string, last *Directory, keys KeyOpener) *Directory {
	l := &loader{src: src, last: last, keys: keys, named: map[string]bool{}, counted: map[string]bool{}, links: map[string]bool{}, dir: &Directory{
		Path:   path,
		loaded: loaded{cas: map[string]CA{}, pairs: map[[2]string]*Identity{}, bad: map[string]knownBad{}},
	}}
	entries, err := src.list()
	if err != nil {
		l.dir.says = true
		l.add(&Problem{Severity: Failure, Code: DirectoryUnreadable, File: path, Err: fmt.Errorf("cannot list the directory: %w", cause(err))})
		return l.dir
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		if entry.IsDir() {
			l.directory(entry.Name())
			continue
		}
		names = append(names, entry.Name())
		l.links[entry.Name()] = entry.Type()&fs.ModeSymlink != 0
	}
	if l.tooMany(names) {
		return l.dir
	}
	slices.Sort(names)
	l.names = names
	if _, found := slices.BinarySearch(names, hostsTOML); found {
		hostsReader{l}.read()
		for _, p := range l.dir.Problems {
			p.kind = ofHosts
		}
	}
	docker := dockerReader{l}
	docker.read(names)
	docker.nearMisses(names)
	if l.enough() != nil {
		l.refuse(fmt.Errorf("holds more than %d MiB of certificates and keys, which is the limit", maxBytes>>20))
	}
	return l.dir
}

// loader reads one directory.
type loader struct {
	src  source
	dir  *Directory
	last *Directory
	// names are the files of the directory, sorted.
	names []string
	// tried is the number of keys tried for certificates that lack theirs.
	tried int
	keys  KeyOpener
	// named are the files of the directory that hosts.toml names.
	named map[string]bool
	// links are the symbolic links in the directory.
	links map[string]bool
	// counted are the files that were read, and bytes is their total size.
	counted map[string]bool
	bytes   int
}

func (l *loader) add(p *Problem) { l.dir.Problems = append(l.dir.Problems, p) }

// keep adds p, because of which earlier content stays in use.
func (l *loader) keep(p *Problem) {
	p.Severity = Warning
	p.Err = fmt.Errorf("%w; what was last read from it stays in use", p.Err)
	p.kept = true
	l.add(p)
}

// path returns the full path of a file in the directory or elsewhere.
func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir.Path, name)
}

// hostsReader reads hosts.toml.
type hostsReader struct{ *loader }

// read reads hosts.toml and the files it names.
func (l hostsReader) read() {
	data, err := l.src.read(hostsTOML)
	if errors.Is(err, plainfile.ErrDirectory) {
		l.directory(hostsTOML)
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	l.dir.says, l.dir.hosts = true, true
	file := l.path(hostsTOML)
	var lastConfig *hostsFile
	if l.last != nil {
		lastConfig = l.last.config
	}
	switch {
	case err != nil:
		l.unusable(lastConfig, &Problem{Code: FileUnreadable, File: file, Err: fmt.Errorf("cannot read the file: %w", cause(err))})
	case len(data) == 0 && lastConfig == nil:
		// An empty file counts as absent, as in containerd.
		l.dir.says, l.dir.hosts = false, false
		return
	case len(data) == 0:
		l.unusable(lastConfig, &Problem{Code: HostsFileEmpty, File: file, Err: nextstep.With(errors.New("is empty"), "remove it to use none")})
	default:
		config, problems := parseHosts(file, data)
		if config == nil && l.last != nil {
			for _, p := range problems {
				if p.Severity == Failure {
					l.unusable(lastConfig, p)
					break
				}
			}
			break
		}
		l.dir.config = config
		l.dir.Problems = append(l.dir.Problems, problems...)
	}
	if l.dir.config != nil {
		l.dir.config = l.endpointFiles(l.dir.config)
	}
}

// unusable reports p, and on a reload keeps the hosts.toml that was last read.
func (l hostsReader) unusable(last *hostsFile, p *Problem) {
	if l.last == nil {
		p.Severity = Failure
		l.add(p)
		return
	}
	l.dir.config = last
	if last == nil && !l.last.hosts {
		// There was no hosts.toml: the directory keeps the meaning it had without one.
		l.dir.says, l.dir.hosts = false, false
	}
	l.keep(p)
}

// endpointFiles reads the files that a hosts.toml names. It leaves config unchanged,
// which an earlier Directory may share.
func (l hostsReader) endpointFiles(config *hostsFile) *hostsFile {
	filled := *config
	filled.endpoints = nil
	for _, given := range config.endpoints {
		e := *given
		e.cas, e.identities = nil, nil
		at := func(line int, key string) *Problem {
			return &Problem{File: l.path(hostsTOML), Line: line, Key: strings.TrimPrefix(e.Key+"."+key, ".")}
		}
		cas := caReader{loader: l.loader}
		for _, file := range e.CA {
			l.name(file)
			cas.read(file, at(e.CALine, "ca"))
		}
		e.cas = cas.settle()
		pairs := pairReader{loader: l.loader}
		for _, files := range e.Client {
			l.name(files.Cert)
			key := files.Key
			if key == "" {
				key = files.Cert
			}
			l.name(key)
			p := at(e.ClientLine, "client")
			if files.Listed && l.isTornPair(e.Client) {
				p.Severity, p.Code = Failure, HostsFileValue
				p.Err = fmt.Errorf("[%q, %q] means two files that hold a certificate and a key each; for a pair write [[%q, %q]]",
					e.Client[0].Cert, e.Client[1].Cert, e.Client[0].Cert, e.Client[1].Cert)
				l.add(p)
				break
			}
			pairs.read(files.Cert, key, p)
		}
		e.identities = pairs.settle()
		filled.endpoints = append(filled.endpoints, &e)
	}
	return &filled
}

// isTornPair recognises client = ["NAME.cert", "NAME.key"]: two files, the first
// without a key and the second without a certificate.
func (l hostsReader) isTornPair(client []hoststoml.ClientFiles) bool {
	if len(client) != 2 || !client[1].Listed {
		return false
	}
	cert, err := l.file(client[0].Cert)
	if err != nil || hasPrivateKey(cert.blocks()) {
		return false
	}
	key, err := l.file(client[1].Cert)
	return err == nil && hasPrivateKey(key.blocks()) && !hasCertificate(key.blocks())
}

// name marks a file of the directory as named by hosts.toml.
func (l *loader) name(file string) {
	path := l.path(file)
	if filepath.Dir(path) == filepath.Clean(l.dir.Path) || !filepath.IsAbs(file) && filepath.Base(file) == filepath.Clean(file) {
		l.named[filepath.Base(path)] = true
	}
}
