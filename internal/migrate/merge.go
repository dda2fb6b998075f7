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

// merge returns the new text of the hosts.toml in output/name, and the files it newly
// names. The text is nil if the old one says the same. merge only adds lines, and only
// if their place is unambiguous; otherwise the error tells why.
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
		// The diff would show secrets.
		return nil, nil, fmt.Errorf("has header fields or a user name: add by hand what is missing: %s", strings.Join(m.missing(), ", "))
	}
	text := m.text(old)
	if _, err := parseTOML(hostsTOML, text); err != nil {
		return nil, nil, fmt.Errorf("cannot be added to: %w", err)
	}
	return text, m.files, nil
}

// userInURL matches an address with a user name, and perhaps a password.
var userInURL = regexp.MustCompile(`://[^\s"']*@`)

// hasProxyUser reports whether a proxy in the file has a user, however TOML spells it.
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

// merger adds the wanted settings to a hosts.toml.
type merger struct {
	doc  *document
	root table
	want *host
	name string
	// dir is the base of relative paths.
	dir string

	// lines go before the first table, tables at the end.
	lines  []string
	tables string
	files  []*file
	// system reports whether a CA root to add applies in addition to the system's.
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

// server compares the server. If none is named, it is the registry itself.
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

// hosts compares the mirrors. Existing ones must include ours in the same order: where
// to insert another is the user's choice.
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

// missing returns the lines to add.
func (m *merger) missing() []string {
	missing := slices.Clone(m.lines)
	for line := range strings.Lines(m.tables) {
		if line = strings.TrimSpace(line); line != "" {
			missing = append(missing, line)
		}
	}
	return missing
}

// text inserts the lines before the first table and the comment above it, and appends
// the tables.
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

// isComment reports whether a line is a comment or blank.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

// endLine terminates the last line.
func endLine(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return text
}

// shown returns an address without secrets; if it had any, without its scheme, too.
func shown(address string) string {
	safe := safetext.Address(address)
	if _, host, found := strings.Cut(safe, "…@"); found {
		return "…@" + host
	}
	return safe
}
