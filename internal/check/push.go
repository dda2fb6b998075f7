package check

import (
	"context"
	"errors"
	"net/http"

	"github.com/certsd/containerd-certsd/resolver"
)

// pusher tries to start an upload.
type pusher struct {
	dossier
	options resolver.Options
	tried   *recorder
}

// push starts an upload and cancels it: that a client may pull says nothing about
// pushing.
func (p *pusher) push(ctx context.Context) {
	if !p.anyReached() {
		return
	}
	said := &Push{Reference: p.given + "/" + p.repository.name}
	p.report.Push = said
	p.waiting(ctx, "what a push to %s asks first", said.Reference)
	p.tried.forget()
	err := resolver.New(p.options).TryPush(ctx, said.Reference)
	attempts := p.tried.attempts(err)
	for _, a := range attempts {
		said.Requests = append(said.Requests, p.reply(a))
		if a.Method == http.MethodPost && a.Status == http.StatusAccepted && p.presented(a) {
			said.Identity = a.Identity
		}
	}
	judge := pushJudge{advice{p.dossier}}
	var left *resolver.UploadLeftError
	if err == nil || errors.As(err, &left) {
		judge.began(left)
		return
	}
	said.Error = presentable(plain(err))
	judge.failed(err, attempts)
}
