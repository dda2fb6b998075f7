package check

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/resolver"
)

// puller tries a pull.
type puller struct {
	dossier
	options resolver.Options
	tried   *recorder
	answers *answerJudge
}

// pull asks for what a pull needs: the tag, the manifest, the configuration and the
// beginning of each layer, which a registry may keep at other hosts.
func (p *puller) pull(ctx context.Context) {
	if !p.anyReached() {
		return
	}
	said := &Pull{Reference: p.given + "/" + p.repository.name + p.repository.object}
	if p.repository.object == "" {
		said.Reference += ":latest"
	}
	p.report.Pull = said
	p.waiting(ctx, "what a pull of %s asks for", said.Reference)
	p.tried.forget()
	var err error
	if p.v1() {
		err = p.pullV1(ctx)
	} else {
		err = p.pullV2(ctx, said)
	}
	attempts := p.tried.attempts(err)
	for _, a := range attempts {
		said.Requests = append(said.Requests, p.reply(a))
	}
	home := p.inspection.Host.Endpoints[len(p.inspection.Host.Endpoints)-1]
	for _, a := range attempts {
		if p.isEndpoint(a.Host) && p.presented(a) && a.Err == nil && a.Status < 400 {
			said.Identity = a.Identity
		}
		p.answers.elsewhere(home, a)
	}
	judge := pullJudge{dossier: p.dossier, tags: func() (bool, error) { return p.tags(ctx) }}
	if err == nil {
		judge.worked(attempts)
		return
	}
	said.Error = presentable(plain(err))
	judge.failed(err, attempts)
}

func (p *puller) pullV2(ctx context.Context, said *Pull) error {
	res := resolver.New(p.options)
	name, desc, err := res.Resolve(ctx, said.Reference)
	var v1 *resolver.SpeaksV1Error
	if errors.As(err, &v1) {
		p.speaksV1(v1.Host)
		return p.pullV1(ctx)
	}
	if errors.As(err, new(*resolver.UnconvertedError)) {
		return nil // the conversion has begun, which is enough
	}
	if err != nil {
		return err
	}
	said.Digest = desc.Digest.String()
	fetcher, err := res.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	return begin(ctx, fetcher, desc, said.Reference)
}

// plain returns an error without its list of attempts, which is reported separately.
func plain(err error) error {
	var e *resolver.Error
	if errors.As(err, &e) {
		return &causeError{e}
	}
	return err
}

// causeError is the cause of a resolver's error, with its text made safe in the same
// way.
type causeError struct{ of *resolver.Error }

func (e *causeError) Error() string {
	if e.of.Trail == nil {
		return e.of.Err.Error()
	}
	return e.of.Trail.Safe(e.of.Err.Error())
}

func (e *causeError) Unwrap() error { return e.of.Err }

// tags reports whether the repository lists any tags. It fails if that cannot be found
// out.
func (p *puller) tags(ctx context.Context) (bool, error) {
	tags, err := resolver.New(p.options).Tags(ctx, p.given+"/"+p.repository.name)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	return len(tags) > 0, err
}
