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

// subject is what is checked: a registry, a repository of it perhaps, and what is
// configured for them. Nothing of it changes during a check.
type subject struct {
	*Checker
	*machine
	calendar
	viewer
	// given is the registry as it was spelt, target with what follows it.
	given, target string
	repository    repository
	inspection    *hostdir.Inspection
	// files are those of the directories.
	files drawer
}

// subject finds what is configured for a target.
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

// splitTarget splits REGISTRY[/REPOSITORY[:TAG|@DIGEST]]. A scheme in front is
// dropped: it is pasted often enough.
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

// splitRepository reads REPOSITORY[:TAG][@DIGEST] as certsd pull does, whatever
// the registry's name is: it may be one without a dot.
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

// isLast reports whether nobody is asked after an endpoint.
func (s *subject) isLast(e *certsd.Endpoint) bool {
	endpoints := s.inspection.Host.Endpoints
	return len(endpoints) < 2 || e == endpoints[len(endpoints)-1]
}

// directoryOf returns where CA roots and client certificates for an endpoint belong.
func (s *subject) directoryOf(e *certsd.Endpoint) string {
	if e.Dir != "" {
		return e.Dir
	}
	return s.directoryFor(e.Host)
}

// directoryFor returns the directory for a host: one that is there, or that to create.
func (s *subject) directoryFor(host string) string {
	roots := s.roots()
	name := hostname.ToCreate(host)
	// One may be there and say nothing about TLS.
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

// namedForOthers finds a file of an endpoint's directory that its hosts.toml
// names for another endpoint, which ends its being read for this one.
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

// canPush reports whether an endpoint may be pushed to by the configuration.
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

// seesNothing reports whether the directory that counts may be one of those that
// this user cannot read. What the network would say to other settings than
// those of the daemon is of no use.
func (s *subject) seesNothing() bool {
	return s.hides() && (s.inspection.Host == nil || s.inspection.Host.Dir == "")
}

// hides reports whether something is hidden from this user.
func (s *subject) hides() bool {
	return slices.ContainsFunc(s.inspection.Problems, func(p *certsd.Problem) bool { return s.hidden(p.Err) })
}
