package check

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/handshake"
)

// advice says what to do about certificates, logins and directories.
type advice struct{ dossier }

func (a advice) nextForRequired(e *certsd.Endpoint) string {
	if other, file := a.namedForOthers(e, certificateFiles); file != "" {
		name := filepath.Base(file)
		return fmt.Sprintf(`%s is configured for %s only: to present it here, too, write server = "https://%s" and client = [[%q, KEY]] at the top of hosts.toml`, name, other, e.Host, name)
	}
	if e.Dir != "" || a.inspection.Host.Dir != "" && e.Host == a.inspection.Name {
		return "put NAME.cert and NAME.key into " + a.directoryOf(e)
	}
	return pairInto(a.directoryFor(e.Host))
}

// pairInto returns the step that puts a pair into a directory, which may not exist yet.
func pairInto(dir string) string {
	if isDir(dir) {
		return "put NAME.cert and NAME.key into " + dir
	}
	return fmt.Sprintf("create %s with NAME.cert and NAME.key", dir)
}

func certificateFiles(e *certsd.Endpoint) (files []string) {
	for _, id := range e.Identities {
		files = append(files, id.CertFile)
	}
	return files
}

func caFiles(e *certsd.Endpoint) (files []string) {
	for _, ca := range e.CAs {
		files = append(files, ca.File)
	}
	return files
}

func (a advice) nextForRefusal(e *certsd.Endpoint, last certsd.Attempt) string {
	switch {
	case len(e.Identities) == 0 && last.Asked:
		return a.nextForRequired(e)
	case len(e.Identities) == 0:
		return "ask the registry's owner who has access"
	case a.allFaulty(e):
		// The findings about the files say what to do.
		return "first fix what is reported about the client certificate's own files"
	case a.outdated(e, last):
		return "renew the certificate; if it is new, compare the clocks of this machine and of the server"
	}
	return "ask the registry's owner which of these certificates has access; compare their issuer and subject with what the server accepts"
}

// allFaulty reports whether each of an endpoint's client certificates has a finding of
// its own.
func (a advice) allFaulty(e *certsd.Endpoint) bool {
	for _, id := range e.Identities {
		if !slices.ContainsFunc(a.report.Findings, func(f Finding) bool { return ofPair[f.Code] && f.Where == id.CertFile }) {
			return false
		}
	}
	return len(e.Identities) > 0
}

// alertExpired is the TLS alert for a certificate that is not valid at this time.
const alertExpired tls.AlertError = 45

// outdated reports whether the server refuses certificates for their validity, or all
// of them have expired.
func (a advice) outdated(e *certsd.Endpoint, last certsd.Attempt) bool {
	if alert, ok := handshake.Alert(last.Err); ok && alert == alertExpired {
		return true
	}
	return !slices.ContainsFunc(e.Identities, func(id *certsd.Identity) bool { return a.now().Before(id.Certificate.Leaf.NotAfter) })
}

func (a advice) whoPushes(host string) string {
	if a.hasCredentials(host) {
		return "the credentials in Docker's config.json may not push to this repository"
	}
	return "it requires a user and a password to push, and Docker's config.json has none for it"
}

func (a advice) nextForPush(host string) string {
	if a.hasCredentials(host) {
		return "docker login " + host + " as a user who may push, or ask the registry's owner for that right"
	}
	return "docker login " + host + " as a user who may push; client certificates do not help here"
}

// hostsFile returns the hosts.toml that configures the registry, or the one to create.
func (a advice) hostsFile() string {
	dir := a.inspection.Host.Dir
	if dir == "" || a.inspection.Host.Fallback {
		dir = a.directoryFor(a.inspection.Name)
	}
	return filepath.Join(dir, kindHosts)
}

// tomlFor returns the change to hosts.toml that has an endpoint asked differently.
func (a advice) tomlFor(e *certsd.Endpoint, scheme, setting string) string {
	last := a.inspection.Host.Endpoints[len(a.inspection.Host.Endpoints)-1]
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

// withoutV2 returns an endpoint's path as hosts.toml spells it: /v2 is implied.
func withoutV2(path string) string {
	if path == "/v2" {
		return ""
	}
	return path
}
