package check

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/choice"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/resolver"
)

// pullJudge judges how a pull ended.
type pullJudge struct {
	dossier
	// tags reports whether the repository lists any tags. It fails if that cannot be
	// found out.
	tags func() (bool, error)
}

// worked drops or softens what a successful pull has refuted.
func (j pullJudge) worked(attempts []certsd.Attempt) {
	j.refuted(attempts)
	// The pull worked despite what is wrong with the API root.
	j.softenAll()
}

// refuted drops suspicions, raised by the API root and the list of CAs, about an
// endpoint that served the pull.
func (j pullJudge) refuted(attempts []certsd.Attempt) {
	for _, e := range j.inspection.Host.Endpoints {
		gave := func(a certsd.Attempt) bool {
			return a.Host == e.Host && a.Err == nil && a.Skipped == "" && a.Status < 400
		}
		if !slices.ContainsFunc(attempts, gave) {
			continue
		}
		j.report.Findings = slices.DeleteFunc(j.report.Findings, func(f Finding) bool {
			return f.Code == NoRegistry && f.Where == e.Host || (f.Code == Code(hostdir.IssuerNotListed) || f.Code == Code(hostdir.IntermediateMissing)) && slices.Contains(certificateFiles(e), f.Where)
		})
	}
}

// failed finds why a pull failed.
func (j pullJudge) failed(err error, attempts []certsd.Attempt) {
	p := j.report.Pull
	f := Finding{Code: PullFailed, Where: p.Reference, Message: strings.TrimPrefix(presentable(errors.New(nextstep.Cause(plain(err)))), p.Reference+": ")}
	last := certsd.Attempt{}
	if len(attempts) > 0 {
		last = attempts[len(attempts)-1]
	}
	if u, e := url.Parse(last.URL); e == nil && !j.isEndpoint(u.Host) && j.has(OtherHostAsks) {
		return
	}
	if j.failedAt(last.Host, AskedLate) {
		return // already reported, with what to do
	}
	var page *resolver.NotManifestError
	switch {
	case errors.As(err, &page):
		f.Message = page.Error() // the error says what to do
	case !j.isEndpoint(last.Host) && j.presented(last) && refuses(last):
		f.Code, f.Where = CertificateRefused, last.Host
		f.Message = fmt.Sprintf("a redirect of %s leads there: %s (%s)", j.given, j.reply(last).Words, tried(last.Host, attempts))
		f.Next = "ask its owner which certificate it accepts, and put that one into " + j.directoryFor(strings.TrimSuffix(last.Host, ":443"))
	case j.has(TokenServer) && !j.isEndpoint(last.Host):
		return
	case nextstep.Of(err) != "":
		f.Next = nextstep.Of(err)
	case errors.As(err, new(*choice.MissingPlatformError)), errors.As(err, new(*choice.DigestError)):
		// The error says what to do.
	case errdefs.IsNotFound(err) || last.Status == http.StatusNotFound:
		tag := strings.TrimPrefix(j.repository.object, ":")
		known, refused := false, error(nil)
		if !strings.Contains(tag, "@") && p.Digest == "" {
			known, refused = j.tags()
		}
		if known {
			f.Code = TagMissing
			f.Message = "the repository is there, but has no tag " + cmp.Or(tag, "latest")
			f.Next = "name the tag: " + j.given + "/" + j.repository.name + ":TAG"
			if tag == "" {
				j.warn(f) // the user named no tag
				return
			}
			break
		}
		if unasked := (*resolver.V1UnaskedError)(nil); errors.As(err, &unasked) {
			f.Code, f.Message = V1Forbidden, "404 Not Found in v2; "+presentable(unasked)
			f.Next = "allow Registry v1, as it says"
			break
		}
		f.Code, f.Message = NotFound, "404 Not Found"
		f.Next = "correct the name; some registries also answer 404 to clients without access"
		if refused != nil {
			f.Next = "correct the name or the tag: the repository's list of tags would show which, but could not be read (" + presentable(plain(refused)) + ")"
		}
	case last.Status == http.StatusForbidden && last.Identity != "" && !j.presented(last):
		f.Code, f.Message, f.Next = NotAsked, "403 Forbidden"+notAsked, nextForNotAsked
	case last.Status == http.StatusForbidden:
		f.Code, f.Message = AllRefused, "403 Forbidden for "+tried(last.Host, attempts)
		f.Next = "ask the registry's owner which of these certificates has access to this repository"
	case last.Status == http.StatusUnauthorized && (j.failedAt(last.Host, CredentialsMissing) || j.failedAt(last.Host, NoRegistry) || j.has(TokenServer) || j.has(OtherHostAsks)):
		return // already reported
	case last.Status == http.StatusUnauthorized && last.Hint != "":
		f.Code, f.Message, f.Next = NoRegistry, "401 Unauthorized", last.Hint
	case last.Status == http.StatusUnauthorized:
		f.Code, f.Message = CredentialsRefused, "401 Unauthorized"
		f.Next = "docker login " + j.given + "; client certificates do not help here"
	case last.Refused && (j.failedAt(last.Host, CertificateRefused) || j.failedAt(last.Host, CertificateRequired)):
		return // already reported, with what to do
	case last.Status >= 500:
		f.Code, f.Message = ServerError, fmt.Sprintf("%s for %s", statusWords(last.Status, last.Answer), tried(last.Host, attempts))
		f.Next = nextForSick
	case last.Err != nil:
		f.Message = fmt.Sprintf("%s: %s", last.Host, wordsOf(last.Err))
		f.Where, f.Next = p.Reference, last.Hint
	case last.Hint != "":
		f.Next = last.Hint
	}
	if f.Code == PullFailed && f.Next == "" && last.Status >= http.StatusBadRequest && j.failedAt(last.Host, NoRegistry) {
		return // already reported: it is no registry
	}
	// The API root may have shown it already.
	if !j.failedAt(last.Host, f.Code) {
		j.find(f)
	}
}

// refuses reports whether a server rejected the client certificate it was shown, by an
// alert or by a status that some servers have for it.
func refuses(a certsd.Attempt) bool {
	return alerted(a.Err) || refusesCertificate(a.Status, a.Answer)
}
