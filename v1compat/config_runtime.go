package v1compat

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// runtimeConfig is the OCI config's "config" with the keys that only Docker keeps
// there, such as the triggers of ONBUILD.
type runtimeConfig struct {
	ocispec.ImageConfig
	Healthcheck *healthcheck `json:"Healthcheck,omitempty"`
	OnBuild     []string     `json:"OnBuild,omitempty"`
	Shell       []string     `json:"Shell,omitempty"`
}

// healthcheck is Docker's HEALTHCHECK; times are in nanoseconds.
type healthcheck struct {
	Test          []string `json:"Test,omitempty"`
	Interval      int64    `json:"Interval,omitempty"`
	Timeout       int64    `json:"Timeout,omitempty"`
	StartPeriod   int64    `json:"StartPeriod,omitempty"`
	StartInterval int64    `json:"StartInterval,omitempty"`
	Retries       int64    `json:"Retries,omitempty"`
}

// runtime returns the image's runtime config. An image without one gets its
// container's, which Docker did not consult. odd lists oddities worth a warning.
func (d *document) runtime() (_ runtimeConfig, odd []string) {
	o, fallback := d.fields.object("config"), false
	if o == nil {
		o = d.fields.object("container_config")
		fallback = len(o) > 0
	}
	if fallback {
		odd = append(odd, "the image's JSON has no config: its container_config is used instead")
	}
	env, bad := environment(words(o.get("Env")))
	for _, variable := range bad {
		odd = append(odd, fmt.Sprintf("the environment variable %q is left out: it must be NAME=VALUE", clip(variable)))
	}
	c := runtimeConfig{ImageConfig: ocispec.ImageConfig{
		User:         text(o.get("User")),
		ExposedPorts: exposed(members(o.get("ExposedPorts")), words(o.get("PortSpecs"))),
		Env:          env,
		Entrypoint:   words(o.get("Entrypoint")),
		Cmd:          words(o.get("Cmd")),
		Volumes:      members(o.get("Volumes")),
		WorkingDir:   text(o.get("WorkingDir")),
		Labels:       pairs(o.get("Labels")),
		StopSignal:   text(o.get("StopSignal")),
	}}
	c.OnBuild = words(o.get("OnBuild"))
	c.Shell = words(o.get("Shell"))
	c.Healthcheck = health(o.object("Healthcheck"))
	if raw := o.get("ArgsEscaped"); string(raw) == "true" {
		//lint:ignore SA1019 as below
		c.ArgsEscaped = true //nolint:staticcheck // deprecated, but Windows images of Docker need it
	}
	if fallback && slices.ContainsFunc(c.Cmd, func(s string) bool { return strings.Contains(s, "#(nop)") }) {
		c.Cmd = nil // docker build's note of an instruction, not a command
	}
	return c, odd
}

// environment splits variables into those of the form NAME=VALUE and the rest. Docker
// unset a variable that is not; runc does not start a container that has one.
func environment(variables []string) (good, bad []string) {
	for _, v := range variables {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsRune(v, 0) {
			bad = append(bad, v)
		} else {
			good = append(good, v)
		}
	}
	return good, bad
}

func health(o object) *healthcheck {
	h := healthcheck{
		Test:          words(o.get("Test")),
		Interval:      integer(o.get("Interval")),
		Timeout:       integer(o.get("Timeout")),
		StartPeriod:   integer(o.get("StartPeriod")),
		StartInterval: integer(o.get("StartInterval")),
		Retries:       integer(o.get("Retries")),
	}
	if len(h.Test) == 0 {
		return nil
	}
	return &h
}

func integer(raw json.RawMessage) int64 {
	var n int64
	_ = json.Unmarshal(raw, &n)
	return n
}

// exposed adds ports in the form used by Docker before 0.6 to a set of ports.
func exposed(ports map[string]struct{}, specs []string) map[string]struct{} {
	for _, spec := range specs {
		if port, ok := parsePortSpec(spec); ok {
			ports[port] = struct{}{}
		}
	}
	return ports
}

// parsePortSpec parses "[hostip:[hostport]:]port[/protocol]", or "hostport:port", and
// returns "port/protocol".
func parsePortSpec(spec string) (string, bool) {
	spec, protocol, ok := strings.Cut(strings.TrimSpace(spec), "/")
	if !ok || protocol == "" {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return "", false
	}
	port := spec[strings.LastIndexByte(spec, ':')+1:]
	if host := strings.TrimSuffix(spec, port); host != "" && !validPublish(strings.TrimSuffix(host, ":")) {
		return "", false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return "", false
	}
	return strconv.FormatUint(n, 10) + "/" + protocol, true
}

// validPublish checks the part of a port spec before the container's port.
func validPublish(s string) bool {
	host, port, ok := strings.Cut(s, ":")
	if !ok && s != "" && strings.Trim(s, "0123456789") == "" {
		host, port = "", s
	}
	if port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
	}
	if host == "" {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
