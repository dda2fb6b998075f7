package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
	"github.com/certsd/containerd-certsd/resolver"
)

// push tries to begin a push, and takes it back: what a registry lets who pulls
// do says nothing about who pushes.
func (r *run) push(ctx context.Context, options resolver.Options) {
	if !r.anyReached() {
		return
	}
	p := &Push{Reference: r.given + "/" + r.repository.name}
	r.report.Push = p
	r.waiting(ctx, "what a push to %s asks first", p.Reference)
	r.mu.Lock()
	r.seen = nil
	r.mu.Unlock()
	err := resolver.New(options).TryPush(ctx, p.Reference)
	attempts := r.attempts(err)
	for _, a := range attempts {
		p.Requests = append(p.Requests, r.reply(a))
		if a.Method == http.MethodPost && a.Status == http.StatusAccepted && r.presented(a) {
			p.Identity = a.Identity
		}
	}
	var left *resolver.UploadLeftError
	if err == nil || errors.As(err, &left) {
		// What is pushed first is not there yet.
		r.soften(TagMissing, NotFound)
	}
	switch {
	case err == nil:
	case left != nil:
		r.find(Finding{
			Severity: isWarning, Code: UploadLeft, Where: left.Host,
			Message: "it let an upload begin and did not take it back: " + presentable(plain(left.Err)),
			Next:    "nothing: the upload is empty, and the registry removes it some time",
		})
	default:
		p.Error = presentable(plain(err))
		r.pushFailed(err, attempts)
	}
}

// pushFailed finds why.
func (r *run) pushFailed(err error, attempts []certsd.Attempt) {
	p := r.report.Push
	f := Finding{Severity: isError, Code: PushFailed, Where: p.Reference, Message: presentable(plain(err))}
	var last certsd.Attempt
	if len(attempts) > 0 {
		last = attempts[len(attempts)-1]
	}
	words := statusWords(last.Status, last.Answer)
	switch {
	case len(attempts) == 0:
		f.Next = "let an endpoint of hosts.toml have the capability push, if one is to be pushed to"
		if r.canPush() {
			f.Next = ""
		}
	case last.Err != nil:
		f.Message, f.Next = fmt.Sprintf("%s: %s", last.Host, wordsOf(last.Err)), last.Hint
	case !r.isEndpoint(last.Host):
		// A token server, or where a redirect leads.
		f.Message, f.Next = fmt.Sprintf("%s: %s", last.Host, words), last.Hint
	case last.Status == http.StatusUnauthorized:
		f.Code, f.Message, f.Next = PushRefused, words+": "+r.whoPushes(last.Host), r.nextForPush(last.Host)
	case last.Status == http.StatusForbidden && last.Identity != "" && !r.presented(last):
		f.Code, f.Message, f.Next = PushRefused, words+notAsked, nextForNotAsked
	case last.Status == http.StatusForbidden:
		f.Code, f.Message = PushRefused, fmt.Sprintf("%s for %s", words, tried(last.Host, attempts))
		f.Next = "ask the registry's owner who may push to this repository"
	case last.Status >= 500:
		f.Code, f.Message, f.Next = ServerError, fmt.Sprintf("%s for %s", words, tried(last.Host, attempts)), nextForSick
	case last.Status == http.StatusNotFound, last.Status == http.StatusMethodNotAllowed:
		f.Code, f.Message = PushRefused, words+" where an upload is to begin: it takes none under this name"
		f.Next = "create the repository (project, namespace) there first, or ask the registry's owner whether it is read-only"
	case last.Status >= 400:
		f.Code, f.Message, f.Next = PushRefused, words, "ask the registry's owner who may push to this repository"
	}
	if last.Answer != "" && last.Status >= 400 && f.Code == PushRefused {
		f.Message += fmt.Sprintf(" (%q)", last.Answer)
	}
	r.find(f)
}

// canPush reports whether an endpoint may be pushed to by the configuration.
func (r *run) canPush() bool {
	return slices.ContainsFunc(r.inspection.Host.Endpoints, func(e *certsd.Endpoint) bool { return e.Capabilities&hoststoml.Push != 0 })
}

func (r *run) hasCredentials(host string) bool {
	if r.Credentials == nil {
		return false
	}
	user, secret, err := r.Credentials(host)
	return err == nil && (user != "" || secret != "")
}

func (r *run) whoPushes(host string) string {
	if r.hasCredentials(host) {
		return "the credentials in Docker's config.json may not push to this repository"
	}
	return "it asks who pushes, and Docker's config.json has no user and password for it"
}

func (r *run) nextForPush(host string) string {
	if r.hasCredentials(host) {
		return "docker login " + host + " as a user who may push, or ask the registry's owner for that right"
	}
	return "docker login " + host + " as a user who may push; client certificates do not answer this"
}

// byPush is the verdict where a push was tried: it and a pull have to work, or
// there is nothing yet to pull.
func (r *run) byPush() (Verdict, string) {
	push, pull := r.report.Push, r.report.Pull
	switch {
	case push.Error != "":
		return Refused, "a push would fail"
	case pull == nil || pull.Error == "":
		return Works, "a push would work" + with(push.Identity)
	case r.has(TagMissing) || r.has(NotFound):
		return Works, "a push would work" + with(push.Identity) + "; there is nothing to pull yet"
	default:
		return Refused, "a pull would fail, and a push would begin" + with(push.Identity)
	}
}
