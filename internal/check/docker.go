package check

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// DefaultDockerConfig is where Docker's configuration is.
const DefaultDockerConfig = "/etc/docker/daemon.json"

// dockerConfig reads Docker's configuration once. It is nil where there is none,
// or none that can be read.
func (c *Checker) dockerConfig() (*migrate.Docker, []Finding) {
	c.readDocker.Do(func() {
		if c.DockerConfig == "" {
			return
		}
		docker, err := migrate.ReadDocker(c.DockerConfig)
		if c.docker = docker; err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		f := Finding{Severity: isWarning, Code: DockerConfig, Where: c.DockerConfig, Message: "Docker's configuration cannot be read: " + printable(err.Error()), Next: "correct it"}
		if c.hidden(err) {
			f = c.ofHidden(f, "")
		}
		c.dockerFindings = []Finding{f}
	})
	return c.docker, c.dockerFindings
}

// asDocker finds that Docker reaches what a pull does not, because its
// configuration says so: what works with Docker is what people compare with.
func (r *run) asDocker() {
	docker, _ := r.dockerConfig()
	if docker == nil || r.inspection.Host == nil || r.report.Verdict == Works {
		return
	}
	for i, e := range r.inspection.Host.Endpoints {
		if live := r.report.Endpoints[i].Live; live != nil && e.Scheme == "https" && !e.SkipVerify {
			r.asDockerAt(docker, e, live)
		}
	}
	for _, said := range docker.Mirrors(r.inspection.Name) {
		if !r.isEndpoint(hostOf(said.Entry)) {
			r.find(r.mirrorOf(said))
		}
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// asDockerAt finds that Docker takes the TLS of an endpoint for what it is, or
// none.
func (r *run) asDockerAt(docker *migrate.Docker, e *certsd.Endpoint, live *Live) {
	var ips []net.IP
	if live.Proxy == "" {
		for _, address := range live.Addresses {
			ips = append(ips, net.ParseIP(address))
		}
	}
	said, insecure := docker.Insecure(e.Host, ips...)
	if !insecure {
		return
	}
	f := Finding{Severity: isWarning, Code: DockerInsecure, Where: dockerAt(said)}
	because := ": insecure-registries has " + said.Entry
	settings := r.hostsFile()
	switch fails := func(code Code) bool { return r.failedFor(e.Host, code) }; {
	case slices.ContainsFunc([]Code{UnknownAuthority, WrongName, ServerExpired, ServerUnverified}, fails):
		f.Message = fmt.Sprintf("Docker reaches %s without verifying it%s", e.Host, because)
		f.Next = fmt.Sprintf("better than that is to mend its certificate, or the CA root here; to verify nothing, as Docker does, write %s into %s", r.tomlFor(e, "https", "skip_verify = true"), settings)
	case fails(NoTLS):
		f.Message = fmt.Sprintf("Docker reaches %s in plain HTTP%s", e.Host, because)
		f.Next = fmt.Sprintf("write %s into %s, without ca and client", r.tomlFor(e, "http", ""), settings)
	case fails(NoConnection) && (&url.URL{Host: e.Host}).Port() == "":
		f.Message = fmt.Sprintf("Docker goes on to ask %s in plain HTTP, at port 80%s", e.Host, because)
		f.Next = fmt.Sprintf("if it answers there, write %s into %s, without ca and client", r.tomlFor(e, "http", ""), settings)
	default:
		return
	}
	r.find(f)
}

func dockerAt(said migrate.Said) string {
	if said.Line == 0 {
		return said.File
	}
	return fmt.Sprintf("%s:%d", said.File, said.Line)
}

// hostsFile is the hosts.toml that says, or is to say, how the registry is asked.
func (r *run) hostsFile() string {
	dir := r.inspection.Host.Dir
	if dir == "" || r.inspection.Host.Fallback {
		dir = r.directoryFor(r.inspection.Name)
	}
	return filepath.Join(dir, kindHosts)
}

// tomlFor is what a hosts.toml says to have an endpoint asked in another way.
func (r *run) tomlFor(e *certsd.Endpoint, scheme, setting string) string {
	last := r.inspection.Host.Endpoints[len(r.inspection.Host.Endpoints)-1]
	if e != last {
		if setting == "" {
			return fmt.Sprintf(`[host."%s://%s"] in place of its https://`, scheme, e.Host)
		}
		return fmt.Sprintf(`%s below [host."%s://%s%s"]`, setting, scheme, e.Host, withoutV2(e.Path))
	}
	line := fmt.Sprintf(`server = "%s://%s"`, scheme, e.Host)
	if setting != "" {
		line += " and " + setting
	}
	return line + " at the top"
}

// withoutV2 is the path of an endpoint as it is written: /v2 goes without saying.
func withoutV2(path string) string {
	if path == "/v2" {
		return ""
	}
	return path
}

// mirrorOf is that Docker asks a mirror which no hosts.toml names.
func (r *run) mirrorOf(said migrate.Said) Finding {
	table := fmt.Sprintf("[host.%q] and capabilities = [\"pull\", \"resolve\"]", said.Entry)
	if said.Override {
		table += " and override_path = true"
	}
	command := "certsd migrate --config " + shellWord(said.File)
	if roots := r.roots(); len(roots) > 0 {
		command += " --output " + shellWord(roots[0])
	}
	return Finding{
		Severity: isWarning, Code: DockerMirror, Where: dockerAt(said),
		Message: fmt.Sprintf("Docker asks the mirror %s before %s, and nothing here does: registry-mirrors has it", said.Entry, r.inspection.Name),
		Next:    fmt.Sprintf("write %s into %s, or: %s --write", table, r.hostsFile(), command),
	}
}
