package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// merge returns the new text of a hosts.toml in the directory name of the root
// output, nil if the old one says the same already, and the files it names
// that the old one does not. Lines are only ever added, and only where there is
// one way to do it; an error tells why there is not.
func merge(old []byte, want *host, name, output string) ([]byte, []*file, error) {
	if len(bytes.TrimSpace(old)) == 0 {
		return render(want, name), want.files(), nil
	}
	doc, err := parseTOML(hostsTOML, old)
	if err != nil {
		return nil, nil, errors.New("is not valid TOML: fix or remove it")
	}
	m := &merger{doc: doc, root: doc.table(), want: want, name: name, dir: filepath.Join(output, name)}
	if err := m.all(); err != nil {
		return nil, nil, fmt.Errorf("says something else: %w", err)
	}
	if len(m.lines) == 0 && m.tables == "" {
		return nil, nil, nil
	}
	if doc.has("header") || userInURL.Match(old) || m.hasProxyUser() {
		// A diff would show the values, which may be secrets.
		return nil, nil, fmt.Errorf("has header fields or a user name: add by hand what is missing: %s", strings.Join(m.missing(), ", "))
	}
	text := m.text(old)
	if _, err := parseTOML(hostsTOML, text); err != nil {
		return nil, nil, fmt.Errorf("cannot be added to: %w", err)
	}
	return text, m.files, nil
}

// userInURL is a user name, and perhaps a password, in an address.
var userInURL = regexp.MustCompile(`://[^\s"']*@`)

// hasProxyUser reports whether a proxy of the file has a user, in whatever way
// TOML writes it.
func (m *merger) hasProxyUser() bool {
	if strings.Contains(m.root.string("proxy"), "@") {
		return true
	}
	hosts := m.root.table("host")
	return slices.ContainsFunc(m.doc.order(hosts), func(name string) bool { return strings.Contains(hosts.table(name).string("proxy"), "@") })
}

// files returns all files that the host's tables name.
func (h *host) files() []*file {
	files := h.server.files()
	for _, e := range h.hosts {
		files = append(files, e.files()...)
	}
	return files
}

// merger adds what is wanted to a hosts.toml.
type merger struct {
	doc  *document
	root table
	want *host
	name string
	// dir is where relative paths begin.
	dir string

	// lines belong before the first table, tables at the end.
	lines  []string
	tables string
	files  []*file
	// system reports whether one of the CA roots to add counts beside the system's.
	system bool
}

func (m *merger) all() error {
	if err := m.server(); err != nil {
		return err
	}
	added, err := m.tls(m.root, m.want.server.trust, "")
	if err != nil {
		return err
	}
	m.lines = append(m.lines, added...)
	if err := m.hosts(); err != nil {
		return err
	}
	if m.system && !m.root.has("system_roots") {
		m.lines = append(m.lines, systemRoots)
	}
	return nil
}

// server compares the server, which is the registry itself where none is
// named.
func (m *merger) server() error {
	want := m.want.server
	there := m.root.string("server")
	switch {
	case there == "" && (m.want.plain || want.address == ""):
	case there == "" && (m.root.has("capabilities") || m.root.has("override_path")):
		return fmt.Errorf("it would become a setting of the server %s", want.address)
	case there == "":
		m.lines = append(m.lines, "server = "+tomlpos.Quote(want.address))
		if want.limited {
			m.lines = append(m.lines, `capabilities = ["pull", "resolve"]`)
		}
		if want.override {
			m.lines = append(m.lines, "override_path = true")
		}
	case want.address == "" || asked(there, m.root.bool("override_path")) != want.asked():
		return fmt.Errorf("server is %s", shown(there))
	}
	return nil
}

// tls compares the TLS settings of a table and returns the lines to add.
func (m *merger) tls(t table, want trust, of string) ([]string, error) {
	var missing trust
	if want.skipVerify && !t.bool("skip_verify") {
		if t.has("skip_verify") {
			return nil, fmt.Errorf("skip_verify%s is false", of)
		}
		missing.skipVerify = true
	}
	if len(want.ca) > 0 && !t.has("ca") {
		missing.ca = want.ca
		m.system = m.system || want.system
		m.files = append(m.files, want.ca...)
	} else if len(want.ca) > 0 && !m.sameFiles(t, "ca", want.ca) {
		return nil, fmt.Errorf("ca%s names other files", of)
	}
	if len(want.client) > 0 && !t.has("client") {
		missing.client = want.client
		m.files = append(m.files, entry{trust: trust{client: want.client}}.files()...)
	} else if len(want.client) > 0 && !m.sameFiles(t, "client", entry{trust: trust{client: want.client}}.files()) {
		return nil, fmt.Errorf("client%s names other files", of)
	}
	return tlsSettings(missing, m.name), nil
}

// sameFiles reports whether the files of a key have the wanted content.
func (m *merger) sameFiles(t table, key string, want []*file) bool {
	var paths []string
	flatten(t.values[key], &paths)
	if len(paths) != len(want) {
		return false
	}
	for i, path := range paths {
		if !filepath.IsAbs(path) {
			path = filepath.Join(m.dir, path)
		}
		if data, err := readFile(path); err != nil || !bytes.Equal(data, want[i].data) {
			return false
		}
	}
	return true
}

func flatten(value any, into *[]string) {
	switch value := value.(type) {
	case string:
		*into = append(*into, value)
	case []any:
		for _, item := range value {
			flatten(item, into)
		}
	}
}

// hosts compares the mirrors. Where there are some, ours have to be among them
// in the same order: where to put another one is not for us to say.
func (m *merger) hosts() error {
	there := m.root.table("host")
	switch {
	case len(m.want.hosts) == 0:
		return nil
	case len(there.values) == 0:
		m.tables = hostTables(m.want, m.name)
		for _, e := range m.want.hosts {
			m.files = append(m.files, e.files()...)
			m.system = m.system || len(e.ca) > 0 && e.system
		}
		return nil
	}
	names := m.doc.order(there)
	for _, e := range m.want.hosts {
		i := slices.IndexFunc(names, func(name string) bool {
			return asked(name, there.table(name).bool("override_path")) == e.asked()
		})
		if i < 0 {
			return fmt.Errorf("%s is not among its hosts, or not in this place", e.address)
		}
		t := there.table(names[i])
		names = names[i+1:]
		missing, err := m.tls(t, e.trust, " of "+e.address)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("%s lacks %s", e.address, strings.Join(missing, ", "))
		}
	}
	return nil
}

// missing returns what would be added, in one list.
func (m *merger) missing() []string {
	missing := slices.Clone(m.lines)
	for line := range strings.Lines(m.tables) {
		if line = strings.TrimSpace(line); line != "" {
			missing = append(missing, line)
		}
	}
	return missing
}

// text puts the lines in front of the first table and the comment above it,
// and the tables at the end.
func (m *merger) text(old []byte) []byte {
	lines := strings.SplitAfter(string(old), "\n")
	head := len(lines)
	if m.doc.firstTable > 0 {
		head = m.doc.firstTable - 1
		for head > 0 && isComment(lines[head-1]) {
			head--
		}
	}
	text := strings.Join(lines[:head], "")
	after := strings.Join(lines[head:], "")
	if len(m.lines) > 0 {
		text = endLine(text) + strings.Join(m.lines, "\n") + "\n"
		if after != "" && !strings.HasPrefix(after, "\n") {
			text += "\n"
		}
	}
	text += after
	if m.tables != "" {
		text = endLine(text) + m.tables
	}
	return []byte(text)
}

// isComment reports whether a line says nothing.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

// endLine ends the last line.
func endLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// shown returns an address without what may be a secret, and without its scheme then.
func shown(address string) string {
	safe := safetext.Address(address)
	if _, host, found := strings.Cut(safe, "…@"); found {
		return "…@" + host
	}
	return safe
}
