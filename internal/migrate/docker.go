package migrate

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/keys"
)

const (
	hostsTOML  = "hosts.toml"
	defaultDir = "_default"
)

// dockerHost is what directories in Docker's layout configure for one host.
type dockerHost struct {
	// name is the host, _default for hosts without a directory.
	name string
	// dirs are the directories.
	dirs   []string
	ca     []*file
	client []pair
	// problems are the directories' problems.
	problems []*certsd.Problem
}

// file is a certificate or key.
type file struct {
	// source is the file's path.
	source string
	data   []byte
	secret bool
	// dir and name are its place in the new tree; dir is empty for a file that stays
	// where it is.
	dir, name string
	// present reports whether it is in its place already; inWay is another file there.
	present bool
	inWay   string
	// stale reports whether inWay is older.
	stale bool
}

type pair struct{ cert, key *file }

// ref returns the file's name in a hosts.toml in a directory of the tree.
func (f *file) ref(dir string) string {
	switch f.dir {
	case "":
		return f.source
	case dir:
		return f.name
	default:
		return "../" + f.dir + "/" + f.name
	}
}

// reader reads configurations and directories.
type reader struct {
	*sources
	// skipped are the hosts, by hostKey, with a directory that has a hosts.toml.
	skipped map[string]bool
}

// trees reads the certs.d directories. As in package certsd, a file in an earlier
// directory for a host hides one of the same name in a later; the tree to be written
// comes first.
func (p *reader) trees(roots certsd.Roots) {
	output := filepath.Clean(p.output)
	all := append(certsd.Roots{output}, roots...)
	for i, root := range all {
		if i > 0 && (filepath.Clean(root) == output || slices.Contains(all[:i], root)) {
			continue
		}
		entries, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.notes.add(Left, place{file: root}, "cannot be read: %v", cause(err))
		}
		for _, entry := range entries {
			p.tree(root, entry.Name(), i == 0)
		}
	}
	p.unusable()
}

// tree reads one directory of a root.
func (p *reader) tree(root, name string, output bool) {
	path := filepath.Join(root, name)
	host, err := hostname.OfDirectory(name)
	if suffix, ok := hostname.OfSuffixDirectory(name); ok {
		p.notes.add(Left, place{file: path}, "is for every host below %s: stock containerd knows no such directories", hostname.DomainOf(suffix))
		return
	}
	if name == defaultDir {
		host = name
	} else if err != nil {
		return
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return
	}
	if info, err := os.Stat(filepath.Join(path, hostsTOML)); err == nil && info.Size() > 0 {
		if !output {
			p.notes.add(Left, place{file: filepath.Join(path, hostsTOML)}, "copy the directory to %s if it is to count there", p.output)
			p.skipped[hostKey(host)] = true
		} else {
			p.others = append(p.others, name)
		}
		return
	}
	if p.skipped[hostKey(host)] {
		return
	}
	// The problems include the error. Their effect is decided when all directories for
	// the host are known.
	dir, _ := hostdir.Load(os.DirFS(path), hostdir.LoadOptions{Path: path, Keys: named.Open})
	p.dockerFiles(host, path, dir, output)
}

// named recognizes keys that are not files without asking a device or starting a
// helper.
var named = keys.New([]string{"certsd-pkcs11"})

// dockerFiles adds the files of a directory to its host.
func (p *reader) dockerFiles(host, path string, dir *hostdir.Directory, output bool) {
	if len(dir.CAs)+len(dir.Identities)+len(dir.Problems) == 0 {
		return
	}
	h := p.docker[hostKey(host)]
	if h == nil {
		h = &dockerHost{name: host}
		p.docker[hostKey(host)] = h
	}
	h.dirs = append(h.dirs, path)
	h.problems = append(h.problems, dir.Problems...)
	target := p.dirName(h.name)
	if output {
		target = filepath.Base(path)
	}
	for _, ca := range dir.CAs {
		if f := p.dockerFile(ca.File, target, output, false); f != nil && !p.hidden(f, h.ca...) {
			h.ca = append(h.ca, f)
		}
	}
	for _, id := range dir.Identities {
		cert := p.dockerFile(id.CertFile, target, output, id.CertFile == id.KeyFile)
		key := cert
		if id.KeyFile != id.CertFile {
			key = p.dockerFile(id.KeyFile, target, output, true)
		}
		if cert != nil && key != nil && !p.hidden(cert, h.certs()...) {
			h.client = append(h.client, pair{cert, key})
		}
	}
	slices.SortStableFunc(h.ca, func(a, b *file) int { return strings.Compare(a.name, b.name) })
	slices.SortStableFunc(h.client, func(a, b pair) int { return strings.Compare(a.cert.name, b.cert.name) })
}

// dockerFile reads a file. It returns nil if the file cannot go into the new tree.
func (p *reader) dockerFile(path, target string, output, secret bool) *file {
	name := filepath.Base(path)
	if !utf8.ValidString(path) {
		p.notes.add(Left, place{file: strings.ToValidUTF8(path, "?")}, "TOML cannot name the file: rename it")
		return nil
	}
	data, err := readFile(path)
	if err != nil {
		p.notes.add(Left, place{file: path}, "not used: %v", errors.Unwrap(err))
		return nil
	}
	// Any file may contain a key.
	secret = secret || bytes.Contains(data, []byte("PRIVATE KEY-----"))
	return &file{source: path, data: data, secret: secret, dir: target, name: name, present: output}
}

// unusable drops the hosts whose files cannot be used, by the rules of package certsd:
// every CA file must be readable, and at least one client certificate usable.
func (p *reader) unusable() {
	for key, h := range p.docker {
		bad := false
		for _, problem := range h.problems {
			p.notes.add(Left, place{problem.File, problem.Line, problem.Key}, "not used: %v", problem.Err)
			ext := filepath.Ext(problem.File)
			aboutPair := ext == ".cert" || ext == ".key"
			bad = bad || problem.Severity == hostdir.Failure && (!aboutPair || len(h.client) == 0)
		}
		if bad {
			p.notes.add(Left, place{file: strings.Join(h.dirs, ", ")}, "not migrated until its files can be used")
		}
		if bad || len(h.ca)+len(h.client) == 0 {
			delete(p.docker, key)
		}
	}
}

// settle looks at what is already in the places of the files. A file that cannot go
// into the tree is named at its source.
func (h *dockerHost) settle(t *tree) {
	files := slices.Clone(h.ca)
	for _, pair := range h.client {
		files = append(files, pair.cert, pair.key)
	}
	for _, f := range files {
		if f.present {
			continue
		}
		there, err := t.file(f.dir, f.name)
		switch {
		case err != nil || there != nil && !bytes.Equal(there, f.data):
			f.inWay = t.path(f.dir, f.name)
			f.stale = err == nil && issuedLater(f.data, there)
			f.dir = ""
		case there != nil:
			f.present = true
		}
	}
}

// certs returns the certificate files.
func (h *dockerHost) certs() []*file {
	var certs []*file
	for _, pair := range h.client {
		certs = append(certs, pair.cert)
	}
	return certs
}

// hidden reports whether an earlier root has a file of the same name, and notes if its
// content differs.
func (p *reader) hidden(f *file, earlier ...*file) bool {
	i := slices.IndexFunc(earlier, func(e *file) bool { return e.name == f.name })
	if i < 0 {
		return false
	}
	if !bytes.Equal(earlier[i].data, f.data) {
		p.notes.add(Left, place{file: f.source}, "not used: %s comes first", earlier[i].source)
	}
	return true
}

// hostKey returns the same key for all spellings of a host.
func hostKey(host string) string {
	canonical, err := hostname.Canonical(host)
	if err != nil {
		return host
	}
	return strings.TrimSuffix(canonical, ":443")
}
