package migrate

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// Docker is the registry part of a daemon.json, to explain why Docker reaches a
// registry that others do not.
type Docker struct{ config daemonConfig }

// ReadDocker reads a daemon.json. A missing file is an error of package fs.
func ReadDocker(file string) (*Docker, error) {
	data, err := readConfig(file)
	if err != nil {
		return nil, err
	}
	config, err := parseDaemon(file, data, new(notes))
	if err != nil {
		return nil, err
	}
	return &Docker{config}, nil
}

// Said is an entry of a daemon.json.
type Said struct {
	// File and Line are the place of its key.
	File string
	Line int
	// Entry is a registry, a range of addresses, or the address of a mirror as
	// hosts.toml names it.
	Entry string
	// Override reports whether the mirror's address needs override_path.
	Override bool
}

// Insecure finds the entry that lets Docker ask a host without a valid certificate or
// TLS: its name, or a range with the host or one of its addresses.
func (d *Docker) Insecure(host string, ips ...net.IP) (Said, bool) {
	for name, at := range d.config.insecure {
		if hostKey(name) == hostKey(host) {
			return Said{File: at.file, Line: at.line, Entry: name}, true
		}
	}
	name, _, _ := cutPort(host)
	ips = append(ips, net.ParseIP(strings.Trim(name, "[]")))
	for _, r := range d.config.ranges {
		if slices.ContainsFunc(ips, r.network.Contains) {
			return Said{File: r.at.file, Line: r.at.line, Entry: r.network.String()}, true
		}
	}
	return Said{}, false
}

// Mirrors returns the mirrors that Docker asks before a registry itself: only Docker
// Hub has any.
func (d *Docker) Mirrors(registry string) []Said {
	if !hostname.IsDockerHub(registry) {
		return nil
	}
	var said []Said
	for _, e := range d.config.mirrors {
		said = append(said, Said{File: e.at.file, Line: e.at.line, Entry: e.address(), Override: e.override()})
	}
	return said
}

var madeOf = regexp.MustCompile(`^# What (.*) said\.\n`)

// MadeOf returns the files and directories that a hosts.toml planned by New was made
// from, nil for any other.
func MadeOf(hosts []byte) []string {
	m := madeOf.FindSubmatch(hosts)
	if m == nil {
		return nil
	}
	return strings.Split(string(m[1]), ", ")
}
