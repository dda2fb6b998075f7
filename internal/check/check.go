// Package check says what is configured for a registry, what its servers make of
// it, and what to do where the two disagree: the work of "certsd check".
//
// [Checker.Registry] checks one registry, [Checker.All] every directory. The
// result is a [Report], which [WriteTable], [WriteLines] and [WriteJSON] print.
// docs/check.md describes the findings and the JSON.
//
// Read it in the order of a check:
//
//	check.go                    the order itself; all_registries.go has that of many
//	subject.go, ledger.go       what is checked, and what was found (finding.go, dossier.go)
//	survey.go                   the disk: survey_files.go, file_roles.go, misnamed.go, expiry.go
//	visit.go                    the servers: connect.go, ask_api.go, pull.go and push.go ask
//	*_judge.go                  what the answers mean, with the next steps of advice.go
//	daemons.go                  what else is on the machine, with docker.go and podman.go
//	ways.go, stock.go           the verdict for each way to pull, by containerd.go
//	report.go, render_*.go      the result, and how it is printed
package check

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/discreet"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
)

// stepTimeout bounds each request: a person waits for the answer.
const stepTimeout = 20 * time.Second

// Checker checks registries. Its zero value searches the default roots and asks
// without credentials. It may be used by several goroutines.
type Checker struct {
	// Roots are the certs.d directories. nil means certsd.DefaultRoots.
	Roots certsd.Roots
	// SystemRoots says when the system's CA roots count.
	SystemRoots certsd.SystemRoots
	// Keys opens keys that are no files; nil opens those of the machine's TPM, and
	// those in tokens by the signer that the containerd of Config has.
	Keys certsd.KeyOpener
	// SuffixDirectories lets a directory _.example.com serve the hosts below
	// example.com: see certsd.Hosts.SuffixDirectories. So does the plugin's
	// suffix_directories in Config.
	SuffixDirectories bool
	// Offline leaves the network alone.
	Offline bool
	// Push also tries whether a repository may be pushed to: it begins an upload and
	// cancels it.
	Push bool
	// Credentials returns user and secret for a registry's host[:port]. nil
	// means anonymous. They are sent to the registry and to the token server
	// it names, and are in no report.
	Credentials func(host string) (user, secret string, err error)
	// Logins is the file that Credentials are from, to be shown without them; nil
	// for none.
	Logins *dockerconfig.File
	// Config is containerd's configuration file, which says who pulls in which
	// way. Empty, or a file that is not there, means that certsd alone does.
	Config string
	// DockerConfig is Docker's daemon.json, which may be why Docker reaches a
	// registry that others do not. Empty, or a file that is not there, says
	// nothing.
	DockerConfig string
	// ImageService is the socket of "certsd cri". Empty means its default.
	ImageService string
	// Daemons are those of this machine, as they were asked.
	Daemons []Daemon
	// Debug, if set, is told each step. It may be called concurrently.
	Debug func(format string, args ...any)
	// Expiring, if set, is within which the end of a certificate is a finding,
	// in place of 14 days and a fifth of its life.
	Expiring time.Duration
	// Now is the time that validity is counted from; nil is the clock.
	Now func() time.Time
	// Waiting, if set, is told what is waited for from now on. It may be called
	// concurrently.
	Waiting func(what string)
	// limit is wholeTimeout where it is zero, since is time.Since where it is
	// nil, and asks, if set, is told what is asked within which bounds.
	limit time.Duration
	since func(time.Time) time.Duration
	asks  func(ctx context.Context, what string)
	// podman are Podman's directories, nil for hostdir.PodmanRoots.
	podman certsd.Roots
	// euid is os.Geteuid where it is nil.
	euid func() int

	once sync.Once
	here *machine
}

// Registry checks a registry, host or host:port, and if target goes on with a
// repository, and a tag or digest, a pull from it. The error is about target
// alone, or that of ctx once it is done: what was interrupted shows nothing.
func (c *Checker) Registry(ctx context.Context, target string) (*Registry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, err := c.subject(target)
	if err != nil {
		return nil, err
	}
	r := newRun(s)
	disk := survey{r.dossier}
	disk.configuration()
	all := r.clock.share(c.whole())
	switch {
	case s.inspection.Host == nil, c.Offline, s.seesNothing():
	default:
		r.live(discreet.Context(ctx))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	copySurvey{r.dossier}.staleCopies()
	podmanJudge{r.dossier}.asPodman()
	daemonJudge{r.dossier}.byDaemons()
	verdictJudge{r.dossier}.conclude()
	dockerJudge{advice{r.dossier}}.asDocker()
	config, _ := s.containerd()
	rest, cancel := all(discreet.Context(ctx))
	defer cancel()
	r.ways(rest, plans(config, s.roots(), c.ImageService))
	return r.report, ctx.Err()
}

// run is the check of one registry. Who takes part in it does one thing: survey
// looks at the disk, prober, puller and pusher ask, and decide nothing; the judges
// decide what it means, and ask nobody.
type run struct {
	dossier
	clock *clock
	tried recorder
}

func newRun(s *subject) *run {
	report := &Registry{Registry: s.inspection.Name, Repository: s.repository.String()}
	l := &ledger{report: report, said: map[Finding]bool{}, log: s.debug}
	return &run{dossier: dossier{s, l}, clock: s.clock()}
}

// machine returns what this machine has, as far as it was looked at.
func (c *Checker) machine() *machine {
	c.once.Do(func() { c.here = newMachine(c) })
	return c.here
}

func (c *Checker) debug(format string, args ...any) {
	if c.Debug != nil {
		c.Debug(format, args...)
	}
}

// closing closes a body of which no more is needed.
func closing(c io.Closer) { _ = c.Close() }
