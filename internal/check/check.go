// Package check implements "certsd check": it reports how a registry is configured,
// how its servers answer, and what to do where the two disagree.
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

// stepTimeout bounds each request: a person is waiting.
const stepTimeout = 20 * time.Second

// Checker checks registries. Its zero value searches the default roots and asks without
// credentials. It is safe for concurrent use.
type Checker struct {
	// Roots are the certs.d directories. nil means certsd.DefaultRoots.
	Roots certsd.Roots
	// SystemRoots says when the system's CA roots apply.
	SystemRoots certsd.SystemRoots
	// Keys opens keys that are not files. nil opens those in the machine's TPM, and
	// those in tokens with the signer configured in Config.
	Keys certsd.KeyOpener
	// SuffixDirectories lets a directory _.example.com serve the hosts below
	// example.com: see certsd.Hosts.SuffixDirectories. The plugin's suffix_directories
	// in Config does the same.
	SuffixDirectories bool
	// Offline keeps the check off the network.
	Offline bool
	// Push also checks whether the repository may be pushed to, by beginning an upload
	// and canceling it.
	Push bool
	// Credentials returns user and secret for a registry's host[:port]. nil means
	// anonymous. They are sent to the registry and to the token server it names, and
	// are never reported.
	Credentials func(host string) (user, secret string, err error)
	// Logins is the file that Credentials come from, reported without its secrets; nil
	// means none.
	Logins *dockerconfig.File
	// Config is containerd's configuration file, which decides who pulls and how. If it
	// is empty or names no file, only certsd pulls.
	Config string
	// DockerConfig is Docker's daemon.json, which may explain why Docker reaches a
	// registry that others do not. It may be empty or name no file.
	DockerConfig string
	// ImageService is the socket of "certsd cri". Empty means the default.
	ImageService string
	// Daemons are the daemons of this machine and their answers.
	Daemons []Daemon
	// Debug, if set, logs each step. It may be called concurrently.
	Debug func(format string, args ...any)
	// Expiring, if set, replaces the period before a certificate's end that makes it a
	// finding: 14 days and a fifth of its life.
	Expiring time.Duration
	// Now returns the time for judging validity; nil means time.Now.
	Now func() time.Time
	// Waiting, if set, is told what is being waited for. It may be called concurrently.
	Waiting func(what string)
	// limit replaces wholeTimeout unless zero, since replaces time.Since unless nil,
	// and asks, if set, is told each question with its context.
	limit time.Duration
	since func(time.Time) time.Duration
	asks  func(ctx context.Context, what string)
	// podman replaces hostdir.PodmanRoots unless nil.
	podman certsd.Roots
	// euid replaces os.Geteuid unless nil.
	euid func() int

	once sync.Once
	here *machine
}

// Registry checks a registry, host or host:port. If target continues with a repository,
// and a tag or digest, it also tries a pull. It fails only if target is invalid or ctx
// is done: an interrupted check shows nothing.
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

// run is the check of one registry. Each part does one thing: survey reads the disk;
// prober, puller and pusher ask and judge nothing; the judges decide what the answers
// mean and ask nobody.
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

// machine returns the state of this machine that all checks share.
func (c *Checker) machine() *machine {
	c.once.Do(func() { c.here = newMachine(c) })
	return c.here
}

func (c *Checker) debug(format string, args ...any) {
	if c.Debug != nil {
		c.Debug(format, args...)
	}
}

// closing closes a body that is no longer needed.
func closing(c io.Closer) { _ = c.Close() }
