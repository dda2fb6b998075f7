package check

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// survey examines what is on disk.
type survey struct{ dossier }

// configuration reports what is on disk.
func (s survey) configuration() {
	i := s.inspection
	for _, root := range s.roots() {
		s.report.Roots = append(s.report.Roots, Root{root, rootState(root)})
	}
	if i.Host != nil {
		s.report.Directory, s.report.Fallback = i.Host.Dir, i.Host.Fallback
	}
	for _, c := range i.Candidates {
		s.report.Directories = append(s.report.Directories, s.directory(c))
	}
	for _, p := range i.Problems {
		f := s.ofProblem(p, s.target)
		if p.Code == hostdir.Expired || p.Code == hostdir.NotYetValid {
			f.Message = s.timeWords(p)
		}
		if p.Code == hostdir.FileName {
			f.Next = cmp.Or(s.nextForContent(p), f.Next)
		}
		s.find(f)
	}
	if i.Host == nil {
		expirySurvey(s).unusable()
		return
	}
	for _, e := range i.Host.Endpoints {
		shown := endpoint(e)
		shown.Credentials = s.logins(e.Host)
		s.report.Endpoints = append(s.report.Endpoints, shown)
		expirySurvey(s).configured(e)
	}
	s.pullable()
	if i.Host.Dir == "" && !s.hides() && !s.has(Code(hostdir.DirectoryName)) && !s.has(Code(hostdir.DirectoryPort)) && !s.has(Code(hostdir.DirectorySuffix)) && !s.has(Code(hostdir.RootName)) {
		f := Finding{
			Code: NoDirectory, Where: i.Name,
			Message: "no root has a directory for it: no client certificate is presented, and the system's CA roots are used",
			Next:    "if it needs certificates, create " + s.directoryFor(i.Name),
		}
		if dir := s.directoryFor(i.Name); isDir(dir) {
			f.Message = "nothing in " + dir + " is used: no client certificate is presented, and the system's CA roots are used"
			f.Next = "if it needs certificates, put NAME.cert and NAME.key into it, and its CA root as NAME.crt"
		}
		s.find(f)
	}
}

// pullable finds that no endpoint may be pulled from.
func (s survey) pullable() {
	var all hoststoml.Capabilities
	for _, e := range s.inspection.Host.Endpoints {
		all |= e.Capabilities
	}
	if wanted := hoststoml.Pull | hoststoml.Resolve; all&wanted != wanted {
		s.find(Finding{
			Code: NoPull, Where: filepath.Join(s.inspection.Host.Dir, "hosts.toml"),
			Message: "capabilities: no server has both pull and resolve, so there is none to pull from",
			Next:    `add "pull" and "resolve" to the capabilities of one`,
		})
	}
}

// stateAbsent is the state of a root or directory that does not exist.
const stateAbsent = string(hostdir.Absent)

func rootState(root string) string {
	f, err := os.Open(root) //nolint:gosec // looking at the roots is the purpose
	if err == nil {
		_, err = f.Readdirnames(1)
		closing(f)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return "searched"
	case os.IsNotExist(err):
		return stateAbsent
	default:
		return "unreadable"
	}
}

func endpoint(e *certsd.Endpoint) *Endpoint {
	d := &Endpoint{
		URL: e.Scheme + "://" + e.Host + e.Path, Directory: e.Dir, SkipVerify: e.SkipVerify,
		Proxy:   proxyOf(e),
		Headers: slices.Sorted(maps.Keys(e.Header)), CAMode: caMode(e),
	}
	for _, c := range []struct {
		name string
		bit  hoststoml.Capabilities
	}{{"pull", hoststoml.Pull}, {"resolve", hoststoml.Resolve}, {"push", hoststoml.Push}, {"referrers", hoststoml.Referrers}} {
		if e.Capabilities&c.bit != 0 {
			d.Capabilities = append(d.Capabilities, c.name)
		}
	}
	for _, ca := range e.CAs {
		d.CAs = append(d.CAs, ca.File)
	}
	for _, id := range e.Identities {
		d.Identities = append(d.Identities, id.CertFile)
	}
	return d
}

// proxyOf returns the proxy that hosts.toml sets for an endpoint, or "".
func proxyOf(e *certsd.Endpoint) string {
	if e.Proxy == nil {
		return ""
	}
	return e.Proxy.String()
}

// caMode says which CA roots apply.
func caMode(e *certsd.Endpoint) string {
	switch {
	case e.Scheme == "http":
		return "plain HTTP: nothing is verified"
	case e.SkipVerify:
		return "skip_verify: nothing is verified"
	case e.Localhost:
		return "a registry on this machine without a directory: nothing is verified"
	case len(e.CAs) == 0:
		return "the system's CA roots, since no *.crt and no ca is configured"
	case e.TrustsSystem():
		return "the configured CA roots and the system's"
	default:
		return "the configured CA roots alone"
	}
}

// directory describes a candidate directory.
func (s survey) directory(c hostdir.Candidate) Directory {
	d := Directory{Path: c.Path, For: c.For, State: string(c.State), Why: s.why(c)}
	if s.tooLarge(c.Path) {
		return d
	}
	files := fileSurvey(s)
	for _, name := range c.Files {
		if f, ok := files.file(filepath.Join(c.Path, name)); ok {
			d.Files = append(d.Files, f)
		}
	}
	return d
}

// tooLarge reports whether a directory is not read because it holds too much.
func (s survey) tooLarge(path string) bool {
	return slices.ContainsFunc(s.inspection.Problems, func(p *certsd.Problem) bool {
		return p.Code == hostdir.DirectoryTooLarge && p.File == path
	})
}

// why explains why a directory is used or not.
func (s survey) why(c hostdir.Candidate) string {
	host := s.inspection.Host
	named := "named after " + c.For
	suffix, isSuffix := hostname.OfSuffixDirectory(c.For)
	switch {
	case c.For == "":
		named = "for registries without a directory"
	case isSuffix:
		named = "for every host below " + hostname.DomainOf(suffix) + " without a directory"
	}
	switch c.State {
	case hostdir.Used:
		if host != nil && c.Path == host.Dir {
			return named + ", and the first with something in it"
		}
		return named
	case hostdir.Unused:
		if c.For == "" {
			return "_default is for registries without a directory"
		}
		if isSuffix {
			return named + ": one named after the host, or for a longer domain, comes first"
		}
		return "nothing uses it"
	case hostdir.Empty:
		return "nothing in it is used"
	case hostdir.Unreadable:
		return "cannot be looked at"
	default:
		return fmt.Sprintf("there is none (%s)", named)
	}
}
