package check

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// maxAtOnce bounds how many registries are checked concurrently.
const maxAtOnce = 8

// All checks every registry that has a directory, and the names of the directories.
func (c *Checker) All(ctx context.Context) (*Report, error) {
	report := &Report{Version: Version}
	// The registries and general report roots that cannot be listed.
	names, unlisted := c.machine().hosts().Names()
	report.Registries = make([]*Registry, len(names))
	var g errgroup.Group
	g.SetLimit(c.atOnce())
	for i, name := range names {
		g.Go(func() error {
			registry, err := c.Registry(ctx, name)
			report.Registries[i] = registry
			return err
		})
	}
	err := g.Wait()
	roots := rootsJudge{c.machine(), c.calendar(), c.viewer()}
	report.Findings, report.Expiring = roots.general()
	report.Findings = append(report.Findings, roots.podmanAlone(names)...)
	if len(names) == 0 && unlisted == nil {
		report.Findings = append(report.Findings, roots.noDirectories())
	}
	report.Findings = graded(report.Findings...)
	return report, err
}

// rootsJudge finds problems of the roots, and of what no single registry owns in them.
type rootsJudge struct {
	*machine
	calendar
	viewer
}

// noDirectories reports that there is nothing to check: an error if none of the roots
// that were given exists.
func (j rootsJudge) noDirectories() Finding {
	f := Finding{
		Code: NoDirectory, Where: j.roots().String(),
		Message: "no registry has a directory there", Next: "create HOST or HOST_PORT_ in it, or name the right certs.d directories with --root",
	}
	if asked := j.settings.Roots; asked != nil && !slices.ContainsFunc(asked, isDir) {
		f.Message = "there is no such directory"
		return fatal(f)
	}
	return f
}

func (c *Checker) atOnce() int {
	if c.Offline {
		return runtime.GOMAXPROCS(0)
	}
	return maxAtOnce
}

// general finds problems of the roots and of the names in them. It reports whether a
// certificate in a shared directory ends within the time asked for.
func (j rootsJudge) general() (findings []Finding, expiring bool) {
	for _, root := range j.roots() {
		entries, err := os.ReadDir(root)
		if err != nil && !os.IsNotExist(err) {
			f := fatal(Finding{
				Code: Code(hostdir.RootUnreadable), Where: root,
				Message: "cannot list the certs.d directory: " + wordsOf(err), Next: hostdir.NextForUnreadable(root, err),
			})
			if j.hidden(err) {
				f = j.ofHidden(f, "")
			}
			findings = append(findings, f)
		}
		if other := filepath.Join(filepath.Dir(root), "cert.d"); os.IsNotExist(err) && filepath.Base(root) == "certs.d" && isDir(other) {
			findings = append(findings, Finding{
				Code: Code(hostdir.RootName), Where: other, Message: "the directory is cert.d, not certs.d: nothing in it is read",
				Next: "mv " + other + " " + root,
			})
		}
		found, ends := j.defaults(filepath.Join(root, hostname.DefaultDirectory))
		findings, expiring = append(findings, found...), expiring || ends
		for _, entry := range entries {
			if _, ok := hostname.OfSuffixDirectory(entry.Name()); ok && j.suffixes() {
				found, ends := j.defaults(filepath.Join(root, entry.Name()))
				findings, expiring = append(findings, found...), expiring || ends
				continue
			}
			if f, ok := misspelt(root, entry.Name()); ok && isDir(f.Where) {
				findings = append(findings, f)
			}
		}
	}
	return findings, expiring
}

// defaults finds problems of a directory that registries share: _default, or one for a
// domain.
func (j rootsJudge) defaults(path string) (findings []Finding, expiring bool) {
	if !isDir(path) {
		return nil, false
	}
	// The problems include the error.
	dir, _ := hostdir.Load(os.DirFS(path), hostdir.LoadOptions{Path: path, Keys: j.keys()})
	for _, p := range dir.Problems {
		findings = append(findings, j.ofProblem(p, ""))
	}
	for _, kind := range []struct{ pattern, kind string }{{"*.crt", kindCA}, {"*.cert", kindClient}} {
		// The pattern is well-formed.
		names, _ := filepath.Glob(filepath.Join(path, kind.pattern))
		for _, name := range names {
			certs := j.hosts().Examine(name).Certificates
			findings = append(findings, j.endings(name, kind.kind, certs)...)
			expiring = expiring || slices.ContainsFunc(certs, j.expiring)
		}
	}
	return findings, expiring
}

var schemed = regexp.MustCompile(`^https?:`)

// misspelt finds a directory name that no registry, or hardly any, can have.
func misspelt(root, name string) (Finding, bool) {
	f := Finding{Code: Code(hostdir.DirectoryName), Where: filepath.Join(root, name)}
	_, err := hostname.OfDirectory(name)
	if suffix, ok := hostname.OfSuffixDirectory(name); ok {
		f.Code = Code(hostdir.DirectorySuffix)
		f.Message = "is for every host below " + hostname.DomainOf(suffix) + ", and is not used: suffix_directories is not set"
		f.Next = hostdir.NextForSuffix
		return f, true
	}
	switch closed, unclosed := hostname.Unclosed(name); {
	case name == hostname.DefaultDirectory || name[0] == '.':
		return f, false
	case unclosed:
		f.Message = "is read for a registry of this very name: it lacks the closing underscore of a port"
		f.Next = "rename it to " + closed + ", if the number is a port: " + plainfile.Rename(f.Where, closed)
	case schemed.MatchString(name):
		f.Message, f.Next = "is not read: a directory is named after the host, without the scheme", "rename it to HOST or HOST_PORT_"
	case err != nil:
		f.Message, f.Next = "is not read: this is not the name of a registry: "+err.Error(), "rename it to HOST or HOST_PORT_"
	default:
		return f, false
	}
	return f, true
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
