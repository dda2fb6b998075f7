package check

import (
	"fmt"
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// verdictJudge decides whether a pull, or a push, would work.
type verdictJudge struct{ dossier }

// conclude sorts the findings and sets the verdict.
func (j verdictJudge) conclude() {
	v := j.report
	refused := j.has(CertificateRefused) || j.has(AllRefused) || j.has(CertificateRequired)
	unknown := j.has(UnknownAuthority)
	slices.SortStableFunc(v.Findings, func(a, b Finding) int {
		if j.hides() && unreadable[a.Code] != unreadable[b.Code] {
			return order(!unreadable[a.Code]) // all else may differ for root
		}
		if refused && ofPair[a.Code] != ofPair[b.Code] {
			// Local faults can be fixed here, without asking anyone.
			return order(!ofPair[a.Code])
		}
		if unknown && ofCA[a.Code] != ofCA[b.Code] {
			return order(!ofCA[a.Code])
		}
		return severityOrder(a.Severity) - severityOrder(b.Severity)
	})
	switch {
	case j.hides() && j.inspection.Host == nil, j.seesNothing():
		v.Verdict, v.Reason = Unusable, hiddenWords
	case j.inspection.Host == nil || len(v.Endpoints) == 0, j.has(NoPull):
		v.Verdict, v.Reason = Unusable, "nothing can be done with this configuration"
	case j.Offline:
		v.Verdict, v.Reason = Unasked, "the configuration can be used; the server was not asked"
	case j.Push && v.Push == nil:
		v.Verdict, v.Reason = Refused, "a push would fail"
	case v.Push != nil:
		v.Verdict, v.Reason = j.byPush()
	case v.Pull != nil && (v.Pull.Error == "" || j.lacksUnnamedTag()):
		v.Verdict, v.Reason = Works, "a pull would work"+with(v.Pull.Identity)
	case v.Pull != nil:
		v.Verdict, v.Reason = Refused, "a pull would fail"
	default:
		v.Verdict, v.Reason = j.byEndpoints()
	}
}

// lacksUnnamedTag reports whether a pull failed only because the repository has no tag
// "latest", which the user did not name: a pull by another tag would work.
func (j verdictJudge) lacksUnnamedTag() bool {
	return slices.ContainsFunc(j.report.Findings, func(f Finding) bool { return f.Code == TagMissing && f.Severity == isWarning })
}

// unreadable are the findings about what exists and cannot be read.
var unreadable = map[Code]bool{Code(hostdir.RootUnreadable): true, Code(hostdir.DirectoryUnreadable): true, Code(hostdir.FileUnreadable): true}

// ofPair are the findings about a client certificate's own files: the likely cause if a
// server refuses certificates.
var ofPair = map[Code]bool{
	Code(hostdir.CertificateMissing): true, Code(hostdir.Expired): true, Code(hostdir.KeyEncrypted): true, Code(hostdir.KeyMismatch): true,
	Code(hostdir.KeyMissing): true, Code(hostdir.NotForClients): true, Code(hostdir.NotYetValid): true, Code(hostdir.PairUnusable): true,
	Code(hostdir.IssuerNotListed): true, Code(hostdir.IntermediateMissing): true, Code(hostdir.PairPartlyUnusable): true, Code(hostdir.WrongSuffix): true,
	Code(hostdir.CAWithKey): true, Code(hostdir.FileName): true, Code(hostdir.DirectoryName): true, Code(hostdir.DirectoryPort): true,
}

// ofCA are the findings about files that may hold the CA that is unknown.
var ofCA = map[Code]bool{
	Code(hostdir.CAPartlyUnusable): true, Code(hostdir.FileName): true, Code(hostdir.DirectoryName): true, Code(hostdir.DirectoryPort): true,
}

// order returns the result of a comparison for an element that sorts last, or first.
func order(last bool) int {
	if last {
		return 1
	}
	return -1
}

// byEndpoints returns the verdict if no repository was named.
func (j verdictJudge) byEndpoints() (Verdict, string) {
	for _, e := range j.report.Endpoints {
		l := e.Live
		if l == nil || l.Protocol == "" || !slices.Contains(e.Capabilities, "pull") || !slices.Contains(e.Capabilities, "resolve") {
			continue
		}
		if l.Status < 400 || l.Protocol == "v1" && !j.has(V1Forbidden) || j.has(CredentialsUnknown) {
			return Works, fmt.Sprintf("a pull would work: %s answers%s", e.URL, with(l.Identity))
		}
	}
	return Refused, "a pull would fail"
}

func with(identity string) string {
	if identity == "" {
		return ", without a client certificate"
	}
	return ", with " + identity
}

// The exit codes of certsd check.
const (
	ExitWorks    = 0
	ExitRefused  = 1
	ExitUnusable = 2
)

// Overall returns the worst verdict of the registries, or Unusable if an error about no
// registry in particular leaves nothing to use.
func (r *Report) Overall() Verdict {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == isError }) {
		return Unusable
	}
	order := []Verdict{Works, Unasked, Refused, Unusable}
	worst := Works
	if len(r.Registries) == 0 {
		worst = Unasked
	}
	for _, registry := range r.Registries {
		if slices.Index(order, registry.Verdict) > slices.Index(order, worst) {
			worst = registry.Verdict
		}
	}
	return worst
}

// ExitCode returns the exit code for a report: its verdict's, but not success if
// something ends within the time asked for.
func (r *Report) ExitCode() int {
	switch r.Overall() {
	case Unusable:
		return ExitUnusable
	case Refused:
		return ExitRefused
	}
	if r.Expiring || slices.ContainsFunc(r.Registries, func(registry *Registry) bool { return registry.Expiring }) {
		return ExitRefused
	}
	return ExitWorks
}

// byPush returns the verdict if a push was tried: push and pull have to work, unless
// there is nothing to pull yet.
func (j verdictJudge) byPush() (Verdict, string) {
	push, pull := j.report.Push, j.report.Pull
	switch {
	case push.Error != "":
		return Refused, "a push would fail"
	case pull == nil || pull.Error == "":
		return Works, "a push would work" + with(push.Identity)
	case j.has(TagMissing) || j.has(NotFound):
		return Works, "a push would work" + with(push.Identity) + "; there is nothing to pull yet"
	default:
		return Refused, "a pull would fail, and a push would begin" + with(push.Identity)
	}
}
