package check

import (
	"fmt"
	"net"
	"net/url"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/migrate"
)

// DefaultDockerConfig is the default path of Docker's configuration.
const DefaultDockerConfig = "/etc/docker/daemon.json"

// dockerJudge compares the check with what Docker does.
type dockerJudge struct{ advice }

// asDocker finds settings that let Docker reach what a pull does not: people compare
// with what works in Docker.
func (j dockerJudge) asDocker() {
	docker, _ := j.docker()
	if docker == nil || j.inspection.Host == nil || j.report.Verdict == Works {
		return
	}
	for i, e := range j.inspection.Host.Endpoints {
		if live := j.report.Endpoints[i].Live; live != nil && e.Scheme == "https" && !e.SkipVerify {
			j.asDockerAt(docker, e, live)
		}
	}
	for _, said := range docker.Mirrors(j.inspection.Name) {
		if !j.isEndpoint(hostOf(said.Entry)) {
			j.find(j.mirrorOf(said))
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

// asDockerAt finds that Docker does not verify an endpoint, or asks it in plain HTTP.
func (j dockerJudge) asDockerAt(docker *migrate.Docker, e *certsd.Endpoint, live *Live) {
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
	f := Finding{Code: DockerInsecure, Where: dockerAt(said)}
	because := ": insecure-registries has " + said.Entry
	settings := j.hostsFile()
	switch fails := func(code Code) bool { return j.failedFor(e.Host, code) }; {
	case slices.ContainsFunc([]Code{UnknownAuthority, WrongName, ServerExpired, ServerUnverified}, fails):
		f.Message = fmt.Sprintf("Docker reaches %s without verifying it%s", e.Host, because)
		f.Next = fmt.Sprintf("fix its certificate, or the CA root here; to verify nothing, as Docker does, write %s into %s", j.tomlFor(e, "https", "skip_verify = true"), settings)
	case fails(NoTLS):
		f.Message = fmt.Sprintf("Docker reaches %s in plain HTTP%s", e.Host, because)
		f.Next = fmt.Sprintf("write %s into %s, without ca and client", j.tomlFor(e, "http", ""), settings)
	case fails(NoConnection) && (&url.URL{Host: e.Host}).Port() == "":
		f.Message = fmt.Sprintf("Docker goes on to ask %s in plain HTTP, at port 80%s", e.Host, because)
		f.Next = fmt.Sprintf("if it answers there, write %s into %s, without ca and client", j.tomlFor(e, "http", ""), settings)
	default:
		return
	}
	j.find(f)
}

func dockerAt(said migrate.Said) string {
	if said.Line == 0 {
		return said.File
	}
	return fmt.Sprintf("%s:%d", said.File, said.Line)
}

// mirrorOf returns the finding about a mirror that Docker asks and no hosts.toml names.
func (j dockerJudge) mirrorOf(said migrate.Said) Finding {
	table := fmt.Sprintf("[host.%q] and capabilities = [\"pull\", \"resolve\"]", said.Entry)
	if said.Override {
		table += " and override_path = true"
	}
	command := "certsd migrate --config " + shellWord(said.File)
	if roots := j.roots(); len(roots) > 0 {
		command += " --output " + shellWord(roots[0])
	}
	return Finding{
		Code: DockerMirror, Where: dockerAt(said),
		Message: fmt.Sprintf("registry-mirrors has Docker ask the mirror %s before %s, and nothing here does", said.Entry, j.inspection.Name),
		Next:    fmt.Sprintf("write %s into %s, or: %s --write", table, j.hostsFile(), command),
	}
}
