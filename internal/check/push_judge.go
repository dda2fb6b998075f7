package check

import (
	"fmt"
	"net/http"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// pushJudge judges how a push ended.
type pushJudge struct{ advice }

// began finds what a push that could begin left behind, if anything.
func (j pushJudge) began(left *resolver.UploadLeftError) {
	// Before the first push the image does not exist.
	j.soften(TagMissing, NotFound)
	if left == nil {
		return
	}
	j.find(Finding{
		Code: UploadLeft, Where: left.Host,
		Message: "it started an upload and did not cancel it: " + presentable(plain(left.Err)),
		Next:    "nothing: the upload is empty, and the registry will remove it",
	})
}

// failed finds why a push failed.
func (j pushJudge) failed(err error, attempts []certsd.Attempt) {
	p := j.report.Push
	f := Finding{Code: PushFailed, Where: p.Reference, Message: presentable(plain(err))}
	var last certsd.Attempt
	if len(attempts) > 0 {
		last = attempts[len(attempts)-1]
	}
	words := statusWords(last.Status, last.Answer)
	switch {
	case len(attempts) == 0:
		f.Next = "give an endpoint in hosts.toml the capability push, if pushes are wanted"
		if j.canPush() {
			f.Next = ""
		}
	case last.Err != nil:
		f.Message, f.Next = fmt.Sprintf("%s: %s", last.Host, wordsOf(last.Err)), last.Hint
	case !j.isEndpoint(last.Host):
		// A token server, or the target of a redirect.
		f.Message, f.Next = fmt.Sprintf("%s: %s", last.Host, words), last.Hint
	case last.Status == http.StatusUnauthorized:
		f.Code, f.Message, f.Next = PushRefused, words+": "+j.whoPushes(last.Host), j.nextForPush(last.Host)
	case last.Status == http.StatusForbidden && last.Identity != "" && !j.presented(last):
		f.Code, f.Message, f.Next = PushRefused, words+notAsked, nextForNotAsked
	case last.Status == http.StatusForbidden:
		f.Code, f.Message = PushRefused, fmt.Sprintf("%s for %s", words, tried(last.Host, attempts))
		f.Next = "ask the registry's owner who may push to this repository"
	case last.Status >= 500:
		f.Code, f.Message, f.Next = ServerError, fmt.Sprintf("%s for %s", words, tried(last.Host, attempts)), nextForSick
	case last.Status == http.StatusNotFound, last.Status == http.StatusMethodNotAllowed:
		f.Code, f.Message = PushRefused, words+" for the start of an upload: it accepts none under this name"
		f.Next = "create the repository (project, namespace) there first, or ask the registry's owner whether it is read-only"
	case last.Status >= 400:
		f.Code, f.Message, f.Next = PushRefused, words, "ask the registry's owner who may push to this repository"
	}
	if last.Answer != "" && last.Status >= 400 && f.Code == PushRefused {
		f.Message += fmt.Sprintf(" (%q)", last.Answer)
	}
	j.find(f)
}
