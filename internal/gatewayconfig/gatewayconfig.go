// Package gatewayconfig writes the configuration of a gateway's clients: hosts.toml for
// containerd and everything that shares its code, buildkitd.toml, registries.conf for
// Podman, CRI-O and skopeo, and credentials for all that read a Docker config.json.
//
// Each kind is a tree of files, to be printed or written. Where a client allows it, it
// asks only the gateway for an image: what the gateway refuses is not fetched around
// it.
package gatewayconfig

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

const (
	// User is the user name for clients that send the secret as a password.
	User = "certsd"
	// TokenHeader is the header for clients that can send the secret in one.
	TokenHeader = "X-Certsd-Token" //nolint:gosec // the name of a header
)

// marker begins every file that may be overwritten. A file without it is not ours.
const marker = "# Written by certsd gateway"

// Gateway describes a gateway to its clients.
type Gateway struct {
	// URL is its address, without a path: http://127.0.0.1:5999.
	URL string
	// CA is the file with the CA root of its certificate, for https. Empty means that
	// the system's roots suffice.
	CA string
	// Secret is required of clients. Empty means none is.
	Secret string
	// Upstreams are the registries it serves, as image references name them.
	Upstreams []string
}

// File is one file of a tree.
type File struct {
	// Path is relative, with slashes.
	Path string
	Text string
	// Secret reports whether only the owner may read it.
	Secret bool
}

// Hosts returns the certs.d tree for containerd, nerdctl and Docker with the containerd
// image store: a directory for each upstream and no other, to leave other registries as
// they are.
//
// The gateway is the server in each file: if a file named it as a mirror, or had no
// server, containerd would ask the registry itself when the gateway fails or refuses.
func (g Gateway) Hosts() ([]File, error) {
	if _, err := g.check(); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s --print-hosts.\n", marker)
	fmt.Fprintf(&b, "server = %q\ncapabilities = [\"pull\", \"resolve\"]\n", g.URL)
	if g.CA != "" {
		fmt.Fprintf(&b, "ca = %q\n", g.CA)
	}
	if g.Secret != "" {
		fmt.Fprintf(&b, "\n[header]\n  %s = [%q]\n", TokenHeader, g.Secret)
	}
	// containerd 1.6, and the first of 1.7, refuse a file without this table.
	b.WriteString("\n[host]\n")
	var files []File
	for _, host := range g.upstreams() {
		files = append(files, File{Path: host + "/hosts.toml", Text: b.String(), Secret: true})
	}
	return files, nil
}

// BuildKit returns buildkitd.toml, and a config.json for users of buildctl or docker
// buildx: BuildKit cannot send headers, and gets credentials from its client.
//
// If the mirror fails, BuildKit asks the registry itself; no key prevents that.
func (g Gateway) BuildKit() ([]File, error) {
	host, err := g.check()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s --print-buildkit.\n", marker)
	for _, upstream := range g.upstreams() {
		fmt.Fprintf(&b, "[registry.%q]\n  mirrors = [%q]\n\n", upstream, host)
	}
	fmt.Fprintf(&b, "[registry.%q]\n  http = %t\n", host, g.plain())
	if g.CA != "" {
		fmt.Fprintf(&b, "  ca = [%q]\n", g.CA)
	}
	return g.withCredentials(host, "config.json", File{Path: "buildkitd.toml", Text: b.String()}), nil
}

// RegistriesConf returns a file for registries.conf.d, and auth.json, of Podman, CRI-O,
// skopeo and Buildah. The gateway replaces each upstream, whose name becomes the first
// element of the path; the names of images stay.
func (g Gateway) RegistriesConf() ([]File, error) {
	host, err := g.check()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s --print-registries-conf.\n", marker)
	gap := ""
	for _, upstream := range g.upstreams() {
		path, ok := pathOf(upstream)
		if !ok {
			fmt.Fprintf(&b, "%s# %s cannot be part of a path.\n", gap, upstream)
			gap = "\n"
			continue
		}
		fmt.Fprintf(&b, "%s[[registry]]\nprefix = %q\nlocation = %q\n", gap, upstream, host+"/"+path)
		if g.plain() {
			b.WriteString("insecure = true\n")
		}
		gap = "\n"
	}
	return g.withCredentials(host, "auth.json", File{Path: "certsd.conf", Text: b.String()}), nil
}

// pathOf returns the path element that names a registry, and whether there can be one:
// references allow neither colons nor brackets after the first slash. A name without
// dot and port would look like a part of the repository.
func pathOf(upstream string) (string, bool) {
	if !strings.ContainsAny(upstream, ".:") && upstream != "localhost" {
		return upstream + "_443", true
	}
	return strings.Replace(upstream, ":", "_", 1), !strings.HasPrefix(upstream, "[")
}

// withCredentials returns f and, if there is a secret, a file of that name with the
// credentials.
func (g Gateway) withCredentials(host, name string, f File) []File {
	if g.Secret == "" {
		return []File{f}
	}
	auth := base64.StdEncoding.EncodeToString([]byte(User + ":" + g.Secret))
	text, err := json.MarshalIndent(dockerConfig{map[string]dockerAuth{host: {auth}}}, "", "  ")
	if err != nil {
		panic(err) // strings only
	}
	return []File{f, {Path: name, Text: string(text) + "\n", Secret: true}}
}

// dockerConfig is the part that a Docker config.json and an auth.json have in common.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Auth string `json:"auth"`
}

// plain reports whether the gateway speaks plain HTTP.
func (g Gateway) plain() bool { return strings.HasPrefix(g.URL, "http://") }

// upstreams returns the registries sorted, each once.
func (g Gateway) upstreams() []string {
	return slices.Compact(slices.Sorted(slices.Values(g.Upstreams)))
}

// check validates the gateway and returns its host:port.
func (g Gateway) check() (host string, err error) {
	u, err := url.Parse(g.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || g.URL != u.Scheme+"://"+u.Host {
		return "", fmt.Errorf("clients need the gateway as http://HOST:PORT or https://HOST:PORT, not %q", g.URL)
	}
	if _, err := hostname.Canonical(u.Host); err != nil {
		return "", fmt.Errorf("address of the gateway: %w", err)
	}
	// The secret ends up in a header and in quotes.
	if strings.ContainsFunc(g.Secret, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`":\`, r) }) {
		return "", errors.New("the gateway's secret has a character that clients cannot send")
	}
	if len(g.Upstreams) == 0 {
		return "", errors.New("the gateway serves no registry: create a directory named after one")
	}
	for _, upstream := range g.Upstreams {
		canonical, err := hostname.Canonical(upstream)
		if err != nil {
			return "", err
		}
		if canonical != upstream {
			return "", fmt.Errorf("registry %q: write %q", upstream, canonical)
		}
	}
	return u.Host, nil
}

// decode returns user and password.
func (a dockerAuth) decode() (user, password string, err error) {
	b, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return "", "", err
	}
	user, password, _ = strings.Cut(string(b), ":")
	return user, password, nil
}
