package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// daemonConfig is the registry part of a daemon.json.
type daemonConfig struct {
	// mirrors are asked for docker.io, in this order.
	mirrors []*endpoint
	// insecure are the registries that need neither a valid certificate nor TLS.
	insecure map[string]place
	// ranges are the address ranges of such registries.
	ranges []addresses
}

// addresses is an address range, and the place that names it.
type addresses struct {
	network *net.IPNet
	at      place
}

// daemonJSON are the keys of daemon.json that concern registries.
type daemonJSON struct {
	Mirrors                []string `json:"registry-mirrors"`
	Insecure               []string `json:"insecure-registries"`
	Nondistributable       []string `json:"allow-nondistributable-artifacts"`
	MaxConcurrentDownloads *int     `json:"max-concurrent-downloads"`
	Proxies                struct {
		HTTP  string `json:"http-proxy"`
		HTTPS string `json:"https-proxy"`
	} `json:"proxies"`
}

// parseDaemon reads a daemon.json.
func parseDaemon(file string, data []byte, n *notes) (daemonConfig, error) {
	var j daemonJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return daemonConfig{}, jsonError(file, data, err)
	}
	r := daemonReader{file: file, data: data, notes: n}
	d := daemonConfig{insecure: map[string]place{}}
	for _, address := range j.Mirrors {
		r.mirror(&d, address)
	}
	for _, name := range j.Insecure {
		r.insecure(&d, name)
	}
	r.rest(j)
	return d, nil
}

// under merges a later file over an earlier one.
func (d daemonConfig) under(later daemonConfig) daemonConfig {
	if later.mirrors == nil {
		later.mirrors = d.mirrors
	}
	for name, at := range d.insecure {
		if _, found := later.insecure[name]; !found {
			later.insecure[name] = at
		}
	}
	return later
}

// daemonReader reads one file.
type daemonReader struct {
	file  string
	data  []byte
	notes *notes
}

// at returns the place of a key: its first mention, which is wrong only if its name
// occurs as a value before.
func (r daemonReader) at(key string) place {
	at := place{file: r.file, key: key}
	if i := bytes.Index(r.data, []byte(`"`+key+`"`)); i >= 0 {
		at.line = lineOf(r.data, int64(i))
	}
	return at
}

func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// jsonError puts the line in front of an error of encoding/json.
func jsonError(file string, data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return place{file: file, line: lineOf(data, syntax.Offset)}.errorf("%w", jsonwords.Of(err))
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		at := place{file: file, line: lineOf(data, wrong.Offset), key: wrong.Field}
		return at.errorf("is a %s, must be %s", wrong.Value, jsonKind(wrong))
	}
	return place{file: file}.errorf("%w", jsonwords.Of(err))
}

func jsonKind(wrong *json.UnmarshalTypeError) string {
	switch wrong.Type.String() {
	case "[]string":
		return "a list of strings"
	case "string":
		return "a string"
	case "int":
		return "a number"
	default:
		return "an object"
	}
}

// mirror reads a mirror of Docker Hub. Docker appends /v2 to any path it has.
func (r daemonReader) mirror(d *daemonConfig, address string) {
	at := r.at("registry-mirrors")
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		r.notes.add(Lost, at, "a mirror is not a URL")
		return
	}
	shown := safetext.URL(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path})
	host, err := hostname.Canonical(u.Host)
	if err != nil {
		r.notes.add(Lost, at, "mirror %q: %v", shown, errors.Unwrap(err))
		return
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		r.notes.add(Lost, at, "mirror %q: Docker asks only https and http", shown)
		return
	}
	e := &endpoint{at: at, scheme: u.Scheme, host: host, below: true}
	e.path = strings.TrimSuffix(u.EscapedPath(), "/")
	e.path = strings.TrimSuffix(e.path, "/v2")
	e.dropped = u.User != nil || u.RawQuery != "" || u.Fragment != ""
	d.mirrors = append(d.mirrors, e)
}

// insecure reads a registry that need not be verified, or a range of addresses.
func (r daemonReader) insecure(d *daemonConfig, name string) {
	at := r.at("insecure-registries")
	name = strings.TrimPrefix(strings.TrimPrefix(name, "http://"), "https://")
	if _, network, err := net.ParseCIDR(name); err == nil {
		if network.IP.IsLoopback() {
			// This is the default of Docker and of containerd.
			return
		}
		d.ranges = append(d.ranges, addresses{network, at})
		r.notes.add(Lost, at, "the range %s: name each registry in it", network)
		return
	}
	canonical, err := hostname.Canonical(name)
	if err != nil {
		r.notes.add(Lost, at, "an entry that cannot be a registry: %v", errors.Unwrap(err))
		return
	}
	if _, again := d.insecure[canonical]; !again {
		d.insecure[canonical] = at
	}
}

func (r daemonReader) rest(j daemonJSON) {
	if list := slices.DeleteFunc(j.Nondistributable, func(s string) bool { return s == "" }); len(list) > 0 {
		r.notes.add(Lost, r.at("allow-nondistributable-artifacts"), "which layers are pushed is up to the client: "+
			"ctr images push --allow-non-distributable-blobs")
	}
	if j.MaxConcurrentDownloads != nil {
		r.notes.add(Lost, r.at("max-concurrent-downloads"), "belongs into containerd's configuration: "+
			`max_concurrent_downloads = %d below [plugins."io.containerd.transfer.v1.local"], or …v1.certsd`, *j.MaxConcurrentDownloads)
	}
	if j.Proxies.HTTP+j.Proxies.HTTPS != "" {
		r.notes.add(Lost, r.at("proxies"), "belongs into the environment of containerd: HTTP_PROXY, HTTPS_PROXY, NO_PROXY; with certsd also into hosts.toml, as proxy")
	}
}

// isLocal reports whether a host is this machine, as containerd's docker.MatchLocalhost
// does.
func isLocal(hostport string) bool {
	name := hostport
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
