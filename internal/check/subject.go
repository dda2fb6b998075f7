package check

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/internal/imageref"
)

// subject is what is checked: a registry, perhaps a repository in it, and their
// configuration. It does not change during a check.
type subject struct {
	*Checker
	*machine
	calendar
	viewer
	// given is the registry as the user spelled it, target the whole argument.
	given, target string
	repository    repository
	inspection    *hostdir.Inspection
	// files are the files of the directories.
	files drawer
}

// subject finds the configuration of a target.
func (c *Checker) subject(target string) (*subject, error) {
	name, repository, err := splitTarget(target)
	if err == nil && c.Push && repository.name == "" {
		err = fmt.Errorf("%q does not name a repository to push to: REGISTRY/REPOSITORY", target)
	}
	if err != nil {
		return nil, err
	}
	here := c.machine()
	inspection, err := here.hosts().Inspect(name)
	if err != nil {
		return nil, err
	}
	return &subject{
		Checker: c, machine: here, calendar: c.calendar(), viewer: c.viewer(), given: name, target: target, repository: repository, inspection: inspection,
		files: drawer{hosts: here.hosts(), inspection: inspection, read: map[string]hostdir.File{}},
	}, nil
}

// repository is what to pull; the zero value is nothing.
type repository struct {
	name string
	// object is ":TAG" or "@DIGEST", empty if none was given.
	object string
}

func (r repository) String() string { return r.name + r.object }

// splitTarget splits REGISTRY[/REPOSITORY[:TAG|@DIGEST]]. It drops a scheme in front:
// people often paste one.
func splitTarget(target string) (registry string, repo repository, err error) {
	for _, scheme := range []string{"https://", "http://", "docker://"} {
		target = strings.TrimPrefix(target, scheme)
	}
	registry, path, _ := strings.Cut(target, "/")
	path = strings.Trim(path, "/")
	if path == "v2" || path == "v1" {
		path = ""
	}
	if registry == "" {
		return "", repo, fmt.Errorf("%q does not name a registry", target)
	}
	if path != "" {
		repo, err = splitRepository(target, path)
	}
	return registry, repo, err
}

// splitRepository reads REPOSITORY[:TAG][@DIGEST] as certsd pull does, whatever the
// registry's name, which may lack a dot.
func splitRepository(target, path string) (repository, error) {
	ref, err := imageref.Parse("registry.invalid/" + path)
	var wrong *imageref.Error
	if errors.As(err, &wrong) {
		wrong.Text = target
	}
	if err != nil {
		return repository{}, err
	}
	return repository{ref.Repository, strings.TrimPrefix(path, ref.Repository)}, nil
}

// isLast reports whether no endpoint is asked after e.
func (s *subject) isLast(e *certsd.Endpoint) bool {
	endpoints := s.inspection.Host.Endpoints
	return len(endpoints) < 2 || e == endpoints[len(endpoints)-1]
}

// directoryOf returns the directory for an endpoint's CA roots and client certificates.
func (s *subject) directoryOf(e *certsd.Endpoint) string {
	if e.Dir != "" {
		return e.Dir
	}
	return s.directoryFor(e.Host)
}

// directoryFor returns the directory of a host, or the one to create.
func (s *subject) directoryFor(host string) string {
	roots := s.roots()
	name := hostname.ToCreate(host)
	// A directory may exist and say nothing about TLS.
	for _, root := range roots {
		for _, name := range hostname.Directories(host) {
			if path := filepath.Join(root, name); isDir(path) {
				return path
			}
		}
	}
	if len(roots) == 0 {
		return name
	}
	return filepath.Join(roots[0], name)
}

// namedForOthers finds a file in an endpoint's directory that its hosts.toml names for
// another endpoint, and that is no longer read for this one.
func (s *subject) namedForOthers(e *certsd.Endpoint, files func(*certsd.Endpoint) []string) (host, file string) {
	if e.Host != s.inspection.Name {
		return "", ""
	}
	for _, other := range s.inspection.Host.Endpoints {
		if other == e {
			continue
		}
		for _, file := range files(other) {
			if filepath.Dir(file) == s.inspection.Host.Dir {
				return other.Host, file
			}
		}
	}
	return "", ""
}

func (s *subject) isEndpoint(host string) bool {
	for _, e := range s.inspection.Host.Endpoints {
		if e.Host == host {
			return true
		}
	}
	return false
}

// canPush reports whether the configuration lets an endpoint be pushed to.
func (s *subject) canPush() bool {
	return slices.ContainsFunc(s.inspection.Host.Endpoints, func(e *certsd.Endpoint) bool { return e.Capabilities&hoststoml.Push != 0 })
}

func (s *subject) hasCredentials(host string) bool {
	if s.Credentials == nil {
		return false
	}
	user, secret, err := s.Credentials(host)
	return err == nil && (user != "" || secret != "")
}

// seesNothing reports whether the directory in use may be hidden from this user. Asking
// with settings other than the daemon's is of no use.
func (s *subject) seesNothing() bool {
	return s.hides() && (s.inspection.Host == nil || s.inspection.Host.Dir == "")
}

// hides reports whether something in the directories is hidden from this user.
func (s *subject) hides() bool {
	return slices.ContainsFunc(s.inspection.Problems, func(p *certsd.Problem) bool { return s.hidden(p.Err) })
}
