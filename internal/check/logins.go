package check

import (
	"errors"
	"io/fs"

	"github.com/certsd/containerd-certsd/internal/dockerconfig"
)

// Login says where the credentials for a server come from if a request brings none. It
// holds no secrets.
type Login struct {
	// For is who uses the file: "certsd", the commands of this user, or "containerd".
	For  string `json:"for"`
	File string `json:"file"`
	// Entry is the key in auths of the file, Helper the program asked instead. Without
	// either there is no login.
	Entry  string `json:"entry,omitempty"`
	Helper string `json:"helper,omitempty"`
}

// logins finds the credentials that apply to a host.
func (s survey) logins(host string) []Login {
	var found []Login
	if s.Logins != nil {
		// A file that cannot be read was reported when it was opened.
		if source, err := s.Logins.Source(host, s.repository.name); err == nil && source != (dockerconfig.Source{}) {
			found = append(found, Login{"certsd", s.Logins.Path, source.Entry, source.Helper})
		}
	}
	if node := s.nodeLogins(); node != nil && dockerconfig.CheckPath(node.Path) == nil {
		if source, err := node.Source(host, s.repository.name); err == nil {
			found = append(found, Login{"containerd", node.Path, source.Entry, source.Helper})
		}
	}
	return found
}

// ofNodeLogins finds what is wrong with the file that docker_config names.
func ofNodeLogins(node *dockerconfig.File, by viewer) []Finding {
	if node == nil {
		return nil
	}
	warning := Finding{Code: CredentialsFile, Where: node.Path}
	if err := dockerconfig.CheckPath(node.Path); err != nil {
		warning.Message, warning.Next = err.Error()+": containerd does not start", "write an absolute path"
		return []Finding{warning}
	}
	var problem error
	node.OnWarning = func(err error) { problem = err }
	node.Begin()
	switch {
	case problem == nil:
		return nil
	case by.hidden(problem):
		return []Finding{by.ofHidden(warning, "")}
	case errors.Is(problem, fs.ErrNotExist):
		warning.Message, warning.Next = "docker_config names it, but it does not exist", "create it with docker login or podman login, or remove the key"
	default:
		warning.Message, warning.Next = "docker_config names it: "+presentable(problem), "correct it: containerd notices the change by itself"
	}
	return []Finding{warning}
}

// words returns the words of the login's line.
func (l Login) words() []string {
	words := []string{l.For, l.File}
	switch {
	case l.Helper != "":
		return append(words, "helper "+l.Helper)
	case l.Entry != "":
		return append(words, "entry "+l.Entry)
	}
	return append(words, "none")
}
