package certsd

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
)

// hostsFile is the content of a hosts.toml.
//
// It takes everything containerd 2.4 takes (core/remotes/docker/config), and
// at the root three keys of our own, which containerd passes over:
//
//	registry_v1  = "never" | "configured" | "always"
//	rotate_on    = ["403", "5xx"]
//	system_roots = "fallback" | "append"
type hostsFile struct {
	// endpoints are the [host."…"] tables in the order of the file and, last,
	// the root table for the server itself.
	endpoints   []*endpointConfig
	registryV1  string
	rotateOn    []string
	systemRoots string
}

// endpointConfig is one table of a hosts.toml.
type endpointConfig struct {
	// scheme, host and path are empty for the registry itself.
	scheme, host, path string
	capabilities       Capabilities
	// ca and client are nil if the key is absent: the Docker files of the
	// endpoint's directory are then used instead.
	ca          []string
	client      []clientFiles
	skipVerify  *bool
	header      http.Header
	dialTimeout time.Duration
	// key and line are where the table is, lines where its ca and client are.
	key                string
	caLine, clientLine int

	// cas and identities are what was loaded for ca and client.
	cas        []CA
	identities []*Identity
}

// clientFiles are the files of one client certificate. listed tells that they
// were given as one string of a list, which means a file with both parts.
type clientFiles struct {
	cert, key string
	listed    bool
}

var (
	endpointKeys = []string{"capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout"}
	rootKeys     = append([]string{"server", "host", "registry_v1", "rotate_on", "system_roots"}, endpointKeys...)
)

// parseHosts reads a hosts.toml. The problems are all there are in the file;
// the result is nil if one of them is a failure.
func parseHosts(file string, data []byte) (*hostsFile, []*Problem) {
	doc, invalid := parseDocument(file, data)
	if invalid != nil {
		return nil, []*Problem{invalid}
	}
	root := table{doc: doc, values: doc.root}
	root.only(rootKeys...)
	hosts := &hostsFile{
		registryV1:  root.oneOf("registry_v1", "never", "configured", "always"),
		systemRoots: root.oneOf("system_roots", "fallback", "append"),
		rotateOn:    root.rotateOn("rotate_on"),
	}
	if list, ok := root.table("host"); ok {
		for _, name := range list.names() {
			if t, ok := list.table(name); ok {
				t.only(endpointKeys...)
				hosts.endpoints = append(hosts.endpoints, t.endpoint(list, name, name))
			}
		}
	}
	server := root.endpoint(root, "server", root.string("server"))
	if server.host == "" {
		// containerd does the same, without a word.
		for _, key := range []string{"capabilities", "override_path"} {
			if root.has(key) {
				doc.problem(Warning, HostsFileNoEffect, root.key(key), errors.New("has no effect without server: the registry itself has every capability, below /v2"))
			}
		}
		server.path, server.capabilities = "/v2", AllCapabilities
	}
	hosts.endpoints = append(hosts.endpoints, server)
	if failures(doc.problems) != nil {
		return nil, doc.problems
	}
	return hosts, doc.problems
}

// endpoint reads a table; address is the server it is for, named by the key
// name in the table parent.
func (t table) endpoint(parent table, name, address string) *endpointConfig {
	e := &endpointConfig{
		capabilities: t.capabilities("capabilities"),
		ca:           t.stringOrList("ca"),
		client:       t.client("client"),
		skipVerify:   t.bool("skip_verify"),
		header:       t.header("header"),
		dialTimeout:  t.duration("dial_timeout"),
		key:          dotted(t.path),
		caLine:       t.doc.lines[join(t.key("ca"))],
		clientLine:   t.doc.lines[join(t.key("client"))],
	}
	override := t.bool("override_path")
	if address == "" {
		if name != "server" {
			parent.fail(name, "names no server")
		}
		return e
	}
	u, err := parseServer(address)
	if err != nil {
		parent.fail(name, "%w", err)
		return e
	}
	e.scheme, e.host = u.Scheme, u.Host
	e.path = apiRoot(u.Path, override != nil && *override)
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
		return nil, errors.New("a user or password does not belong here")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a query or fragment does not belong here")
	case u.Host == "":
		return nil, errors.New("names no host")
	}
	if _, err := hostname.Canonical(u.Host); err != nil {
		return nil, err
	}
	return u, nil
}

// apiRoot is the path below which the API is: the given one and /v2, or
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

func (t table) capabilities(name string) Capabilities {
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

// client reads a file, a list of files or a list of pairs, mixed as one likes.
func (t table) client(name string) []clientFiles {
	value, found := t.values[name]
	if !found {
		return nil
	}
	if file, ok := value.(string); ok {
		return []clientFiles{{cert: file}}
	}
	items, ok := value.([]any)
	if !ok {
		t.wrongType(name, "a file, a list of files or a list of [certificate, key] pairs")
		return nil
	}
	client := []clientFiles{}
	for _, item := range items {
		if file, ok := item.(string); ok {
			client = append(client, clientFiles{cert: file, listed: true})
			continue
		}
		pair, ok := stringList(item)
		if !ok || len(pair) != 2 {
			t.fail(name, "holds %s where a file or a pair [certificate, key] must be", describe(item))
			continue
		}
		client = append(client, clientFiles{cert: pair[0], key: pair[1]})
	}
	return client
}

func describe(item any) string {
	if list, ok := stringList(item); ok {
		return fmt.Sprintf("a list of %d", len(list))
	}
	return kindOf(item)
}

// header reads a table of header fields. Names keep their spelling, as in
// containerd.
func (t table) header(name string) http.Header {
	fields, ok := t.table(name)
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
			// The value may be a secret: it is not repeated.
			fields.fail(field, "has a line break or a NUL byte in its value")
		}
		header[field] = values
	}
	return header
}

var fieldName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110, 5.6.2

// validField tells whether a header field may be configured: those that frame
// a request are made by net/http alone.
func validField(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
		return false
	}
	return fieldName.MatchString(name)
}

func (t table) oneOf(name string, words ...string) string {
	word := t.string(name)
	if word == "" && !t.has(name) || slices.Contains(words, word) {
		return word
	}
	if _, ok := t.values[name].(string); ok {
		t.fail(name, "%q must be one of %s", word, strings.Join(words, ", "))
	}
	return ""
}

// rotateOn checks what the transport will read with the transport's own parser.
func (t table) rotateOn(name string) []string {
	list := t.strings(name)
	for _, entry := range list {
		if _, _, err := parseStatuses(entry); err != nil {
			t.fail(name, "%q: %w", entry, err)
		}
	}
	return list
}
