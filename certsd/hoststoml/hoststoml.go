// Package hoststoml reads containerd's hosts.toml: its syntax, and the line of
// everything in it. It opens none of the files named there: reading "ca" and "client"
// is left to the caller that reads the directory.
//
// hoststoml.go defines the content of a file and reads its tables, rotate_on.go the
// statuses that lead to the next certificate, proxy.go how a server is reached,
// document.go the values of keys, and suggest.go what an unknown word was meant to be.
package hoststoml

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// File is the content of a hosts.toml.
//
// It accepts everything that containerd 2.4 accepts (core/remotes/docker/config), in
// each table also
//
//	proxy = "http://[USER:PASSWORD@]HOST[:PORT]" | "https://…" | "socks5://…" | "none"
//
// and at the root three more keys. containerd ignores all four:
//
//	registry_v1  = "never" | "configured" | "always"
//	rotate_on    = ["403", "5xx"]
//	system_roots = "fallback" | "append"
type File struct {
	// Endpoints are the [host."…"] tables in file order and, last, the root table for
	// the server itself.
	Endpoints []*Endpoint
	// RegistryV1, RotateOn and SystemRoots are the keys of these names, empty or nil if
	// absent.
	RegistryV1  RegistryV1
	RotateOn    *RotateOn
	SystemRoots string
}

// RegistryV1 says for which registries the v1 protocol may be used.
type RegistryV1 string

const (
	// V1Configured allows it for registries with a directory of their own.
	V1Configured RegistryV1 = "configured"
	// V1Never allows it for none.
	V1Never RegistryV1 = "never"
	// V1Always allows it for every registry but Docker Hub.
	V1Always RegistryV1 = "always"
)

// Endpoint is one table of a hosts.toml.
type Endpoint struct {
	// Scheme, Host and Path are empty for the registry itself.
	Scheme, Host, Path string
	Capabilities       Capabilities
	// CA and Client are nil if the key is absent: the Docker files of the
	// endpoint's directory are then used instead.
	CA          []string
	Client      []ClientFiles
	SkipVerify  *bool
	Header      http.Header
	DialTimeout time.Duration
	// Proxy is the proxy to the server, nil for the one in the environment.
	Proxy *Proxy
	// Key is the table's name in TOML's dotted form, CALine and ClientLine the lines of
	// its ca and client.
	Key                string
	CALine, ClientLine int
}

// ClientFiles are the files of one client certificate. Listed reports whether they are
// one string in a list, meaning one file with both parts.
type ClientFiles struct {
	Cert, Key string
	Listed    bool
}

// Capabilities are the operations an endpoint may be used for. The values are
// those of containerd's docker.HostCapabilities.
type Capabilities uint8

// The capabilities of hosts.toml.
const (
	Pull Capabilities = 1 << iota
	Resolve
	Push
	Referrers

	// AllCapabilities is what an endpoint has when hosts.toml names none.
	AllCapabilities = Pull | Resolve | Push | Referrers
)

// Problem is something wrong in a hosts.toml. It does not name the file.
type Problem struct {
	Kind Kind
	// Line is its line, zero if unknown, Key the key there in TOML's dotted form.
	Line int
	Key  string
	// Err is the cause.
	Err error
}

// Kind is the kind of a [Problem].
type Kind uint8

// The kinds of problems. The file cannot be used with any of them but NoEffect.
const (
	// Syntax: the text is not TOML.
	Syntax Kind = iota
	// UnknownKey: there is no such key.
	UnknownKey
	// Value: the value of a key cannot be used.
	Value
	// NoEffect: a key does nothing.
	NoEffect
)

// Fatal reports whether the file cannot be used because of the problem.
func (p *Problem) Fatal() bool { return p.Kind != NoEffect }

var (
	endpointKeys = []string{"capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout", "proxy"}
	rootKeys     = append([]string{"server", "host", "registry_v1", "rotate_on", "system_roots"}, endpointKeys...)
)

// Parse reads a hosts.toml; name appears in messages. It returns all problems in the
// file, and a nil File if one of them is fatal.
func Parse(name string, data []byte) (*File, []*Problem) {
	doc, invalid := parseDocument(name, data)
	if invalid != nil {
		return nil, []*Problem{invalid}
	}
	root := section{table{doc: doc, values: doc.Root}}
	root.only(rootKeys...)
	hosts := &File{
		RegistryV1:  RegistryV1(root.oneOf("registry_v1", string(V1Never), string(V1Configured), string(V1Always))),
		SystemRoots: root.oneOf("system_roots", "fallback", "append"),
		RotateOn:    root.rotateOn("rotate_on"),
	}
	if list, ok := root.sub("host"); ok {
		for _, name := range list.names() {
			if t, ok := list.sub(name); ok {
				t.only(endpointKeys...)
				hosts.Endpoints = append(hosts.Endpoints, section{t}.endpoint(list, name, name))
			}
		}
	}
	server := root.endpoint(root.table, "server", root.string("server"))
	if server.Host == "" {
		// containerd ignores these keys, too, but silently.
		for _, key := range []string{"capabilities", "override_path"} {
			if root.has(key) {
				doc.problem(NoEffect, root.key(key), errors.New("has no effect without server: the registry itself has every capability, below /v2"))
			}
		}
		server.Path, server.Capabilities = "/v2", AllCapabilities
	}
	hosts.Endpoints = append(hosts.Endpoints, server)
	if slices.ContainsFunc(doc.problems, (*Problem).Fatal) {
		return nil, doc.problems
	}
	return hosts, doc.problems
}

// section reads the keys of a table by their meaning.
type section struct{ table }

// endpoint reads a table; address is its server, given by the key name in the table
// parent.
func (t section) endpoint(parent table, name, address string) *Endpoint {
	e := &Endpoint{
		Capabilities: t.capabilities("capabilities"),
		CA:           t.stringOrList("ca"),
		Client:       t.client("client"),
		SkipVerify:   t.bool("skip_verify"),
		Header:       t.header("header"),
		DialTimeout:  t.duration("dial_timeout"),
		Proxy:        t.proxy("proxy"),
		Key:          tomlpos.Dotted(t.path),
		CALine:       t.doc.Line(t.key("ca")),
		ClientLine:   t.doc.Line(t.key("client")),
	}
	override := t.bool("override_path")
	if address == "" {
		if name != "server" {
			parent.fail(name, "does not name a server")
		}
		return e
	}
	u, err := parseServer(address)
	if err != nil {
		parent.fail(name, "%w", err)
		return e
	}
	e.Scheme, e.Host = u.Scheme, u.Host
	e.Path = apiRoot(u.Path, override != nil && *override)
	return e
}

// parseServer reads the address of a server: host[:port] or a URL.
func parseServer(address string) (*url.URL, error) {
	if scheme, _, found := strings.Cut(address, "://"); !found {
		address = "https://" + address
	} else if scheme != "https" && scheme != "http" {
		return nil, fmt.Errorf("scheme %q: must be https or http", scheme)
	}
	u, err := url.Parse(address)
	if err != nil {
		// The text of a *url.Error repeats the address, which may hold a
		// password.
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return nil, fmt.Errorf("not a URL: %w", err)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("a user or password is not allowed here")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a query or fragment is not allowed here")
	case u.Host == "":
		return nil, errors.New("does not name a host")
	}
	if _, err := hostname.Canonical(u.Host); err != nil {
		return nil, err
	}
	return u, nil
}

// apiRoot returns the root path of the API: the given path with /v2 appended, or
// exactly the given one with override_path.
func apiRoot(given string, override bool) string {
	if given != "" {
		given = path.Clean(given)
	}
	if override || strings.HasSuffix(given, "/v2") {
		return given
	}
	return strings.TrimSuffix(given, "/") + "/v2"
}

var capabilityNames = map[string]Capabilities{
	"pull": Pull, "resolve": Resolve, "push": Push, "referrers": Referrers,
}

func (t section) capabilities(name string) Capabilities {
	list := t.strings(name)
	if len(list) == 0 {
		return AllCapabilities
	}
	var all Capabilities
	for _, word := range list {
		c, known := capabilityNames[strings.ToLower(word)]
		if !known {
			hint := ""
			if near := nearest(word, []string{"pull", "resolve", "push", "referrers"}); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			t.fail(name, "unknown capability %q%s", word, hint)
		}
		all |= c
	}
	return all
}

// client reads a file, or a list of files and pairs in any mixture.
func (t section) client(name string) []ClientFiles {
	value, found := t.values[name]
	if !found {
		return nil
	}
	if file, ok := value.(string); ok {
		return []ClientFiles{{Cert: file}}
	}
	items, ok := value.([]any)
	if !ok {
		t.wrongType(name, "a file, a list of files or a list of [certificate, key] pairs")
		return nil
	}
	client := []ClientFiles{}
	for _, item := range items {
		if file, ok := item.(string); ok {
			client = append(client, ClientFiles{Cert: file, Listed: true})
			continue
		}
		pair, ok := tomlpos.Strings(item)
		if !ok || len(pair) != 2 {
			t.fail(name, "holds %s where a file or a pair [certificate, key] must be", describe(item))
			continue
		}
		client = append(client, ClientFiles{Cert: pair[0], Key: pair[1]})
	}
	return client
}

func describe(item any) string {
	if list, ok := tomlpos.Strings(item); ok {
		return fmt.Sprintf("a list of %d", len(list))
	}
	return tomlpos.Kind(item)
}

// header reads a table of header fields. Names keep their spelling, as in
// containerd.
func (t section) header(name string) http.Header {
	fields, ok := t.sub(name)
	if !ok {
		return nil
	}
	header := http.Header{}
	for _, field := range fields.names() {
		if !validField(field) {
			fields.fail(field, "is not the name of a header field")
			continue
		}
		values := fields.stringOrList(field)
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\r\n\x00") }) {
			// The value may be a secret: do not repeat it.
			fields.fail(field, "has a line break or a NUL byte in its value")
		}
		header[field] = values
	}
	return header
}

var fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110, 5.6.2

// validField reports whether a header field may be configured: only net/http may set
// the fields that frame a request.
func validField(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
		return false
	}
	return fieldName.MatchString(name)
}

func (t section) oneOf(name string, words ...string) string {
	word := t.string(name)
	if word == "" && !t.has(name) || slices.Contains(words, word) {
		return word
	}
	if _, ok := t.values[name].(string); ok {
		t.fail(name, "%q must be one of %s", word, strings.Join(words, ", "))
	}
	return ""
}

// rotateOn reads statuses, and reports each that is not valid.
func (t section) rotateOn(name string) *RotateOn {
	list := t.strings(name)
	if list == nil {
		return nil
	}
	for _, entry := range list {
		if _, _, err := parseStatuses(entry); err != nil {
			t.fail(name, "%q: %w", entry, err)
		}
	}
	set, err := ParseRotateOn(list)
	if err != nil {
		return nil // already reported
	}
	return &set
}
