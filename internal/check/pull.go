package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/choice"
	"github.com/certsd/containerd-certsd/internal/manifest"
	"github.com/certsd/containerd-certsd/resolver"
)

// pull asks for an image as a pull does: the tag, the manifest, and the
// beginning of the configuration and of a layer, which a registry may have at
// other hosts.
func (r *run) pull(ctx context.Context, options resolver.Options) {
	if !r.anyReached() {
		return
	}
	p := &Pull{Reference: r.given + "/" + r.repository.name + r.repository.object}
	if r.repository.object == "" {
		p.Reference += ":latest"
	}
	r.report.Pull = p
	r.waiting(ctx, "what a pull of %s asks for", p.Reference)
	r.seen = nil
	var err error
	if r.v1() {
		err = r.pullV1(ctx, p, options)
	} else {
		err = r.pullV2(ctx, p, options)
	}
	attempts := r.attempts(err)
	for _, a := range attempts {
		p.Requests = append(p.Requests, r.reply(a))
	}
	home := r.inspection.Host.Endpoints[len(r.inspection.Host.Endpoints)-1]
	for _, a := range attempts {
		if r.isEndpoint(a.Host) && r.presented(a) && a.Err == nil && a.Status < 400 {
			p.Identity = a.Identity
		}
		r.elsewhere(home, a)
	}
	if err == nil {
		r.refuted(attempts)
		// What is wrong with the API root keeps nobody from pulling.
		for i := range r.report.Findings {
			r.report.Findings[i].Severity = isWarning
		}
		return
	}
	p.Error = presentable(plain(err))
	r.pullFailed(ctx, err, attempts, options)
}

// refuted drops what the API root and the list of CAs let suspect of an endpoint
// from which the pull came.
func (r *run) refuted(attempts []certsd.Attempt) {
	for _, e := range r.inspection.Host.Endpoints {
		gave := func(a certsd.Attempt) bool {
			return a.Host == e.Host && a.Err == nil && a.Skipped == "" && a.Status < 400
		}
		if !slices.ContainsFunc(attempts, gave) {
			continue
		}
		r.report.Findings = slices.DeleteFunc(r.report.Findings, func(f Finding) bool {
			return f.Code == NoRegistry && f.Where == e.Host || (f.Code == Code(hostdir.IssuerNotListed) || f.Code == Code(hostdir.IntermediateMissing)) && slices.Contains(certificateFiles(e), f.Where)
		})
	}
}

// attempts are those that led to err. What the answer to the last one says is
// in the account of the resolver alone.
func (r *run) attempts(err error) []certsd.Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	attempts := slices.Clone(r.seen)
	var e *resolver.Error
	if errors.As(err, &e) {
		for _, told := range e.Trail.Attempts() {
			for i, a := range attempts {
				if a.Answer == "" && a.Method == told.Method && a.URL == told.URL && a.Identity == told.Identity && a.Status == told.Status {
					attempts[i].Answer = told.Answer
				}
			}
		}
	}
	return attempts
}

// anyReached reports whether there is a server to ask.
func (r *run) anyReached() bool {
	return slices.ContainsFunc(r.report.Endpoints, func(e *Endpoint) bool { return e.Live != nil && len(e.Live.Answers) > 0 })
}

// v1 reports whether v1 is spoken, and v2 is not.
func (r *run) v1() bool {
	speaks := func(protocol string) bool {
		return slices.ContainsFunc(r.report.Endpoints, func(e *Endpoint) bool { return e.Live != nil && e.Live.Protocol == protocol })
	}
	return speaks("v1") && !speaks("v2")
}

func (r *run) isEndpoint(host string) bool {
	for _, e := range r.inspection.Host.Endpoints {
		if e.Host == host {
			return true
		}
	}
	return false
}

func (r *run) pullV2(ctx context.Context, p *Pull, options resolver.Options) error {
	res := resolver.New(options)
	name, desc, err := res.Resolve(ctx, p.Reference)
	var v1 *resolver.SpeaksV1Error
	if errors.As(err, &v1) {
		r.speaksV1(v1.Host)
		return r.pullV1(ctx, p, options)
	}
	if errors.As(err, new(*resolver.UnconvertedError)) {
		return nil // it was begun
	}
	if err != nil {
		return err
	}
	p.Digest = desc.Digest.String()
	fetcher, err := res.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	return begin(ctx, fetcher, desc, p.Reference)
}

// speaksV1 notes the protocol of an endpoint that has the image in v1.
func (r *run) speaksV1(host string) {
	for i, e := range r.inspection.Host.Endpoints {
		if live := r.report.Endpoints[i].Live; e.Host == host && live != nil {
			live.Protocol = "v1"
		}
	}
}

// begin reads the manifest of an image for this machine and its configuration,
// holds both to their digests, and reads the beginning of each layer: what a
// pull would choose, and what would make it fail.
func begin(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, ref string) error {
	if manifest.KindOf(desc.MediaType) == manifest.Index {
		_, entries, err := choice.Flatten(ctx, fetcher, desc)
		if err != nil {
			return fmt.Errorf("index %s: %w", desc.Digest, err)
		}
		at := choice.Best(choice.Host(), entries)
		if at < 0 {
			return &choice.MissingPlatformError{Ref: ref, Want: choice.Host(), Has: choice.Names(entries)}
		}
		desc = entries[at]
	}
	_, m, err := choice.ReadManifest(ctx, fetcher, desc)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if m.Config != nil {
		if _, err := choice.ReadDocument(ctx, fetcher, *m.Config); err != nil {
			return fmt.Errorf("configuration %s: %w", m.Config.Digest, err)
		}
	}
	for _, blob := range m.Blobs[:min(len(m.Blobs), maxLayers)] {
		if err := beginBlob(ctx, fetcher, blob); err != nil {
			return fmt.Errorf("layer %s: %w", blob.Digest, err)
		}
	}
	return nil
}

const (
	// maxLayers is how many layers are looked at, maxWhole how large one is that
	// is read whole and held to its digest.
	maxLayers = 128
	maxWhole  = 64 << 10
)

func beginBlob(ctx context.Context, fetcher remotes.Fetcher, blob ocispec.Descriptor) error {
	if blob.Size <= maxWhole {
		_, err := choice.ReadDocument(ctx, fetcher, blob)
		return err
	}
	body, err := fetcher.Fetch(ctx, blob)
	if err != nil {
		return err
	}
	defer closing(body)
	if _, err = io.ReadFull(body, make([]byte, 1)); errors.Is(err, io.EOF) {
		return fmt.Errorf("it is empty, and should have %d bytes", blob.Size)
	}
	return err
}

// plain is an error without the account of what was tried, which is reported
// apart.
func plain(err error) error {
	var e *resolver.Error
	if errors.As(err, &e) {
		return &causeError{e}
	}
	return err
}

// causeError is the cause in a resolver's error, safe to show as that is.
type causeError struct{ of *resolver.Error }

func (e *causeError) Error() string {
	if e.of.Trail == nil {
		return e.of.Err.Error()
	}
	return e.of.Trail.Safe(e.of.Err.Error())
}

func (e *causeError) Unwrap() error { return e.of.Err }

// pullFailed finds why.
func (r *run) pullFailed(ctx context.Context, err error, attempts []certsd.Attempt, options resolver.Options) {
	p := r.report.Pull
	f := Finding{Severity: isError, Code: PullFailed, Where: p.Reference, Message: strings.TrimPrefix(presentable(plain(err)), p.Reference+": ")}
	last := certsd.Attempt{}
	if len(attempts) > 0 {
		last = attempts[len(attempts)-1]
	}
	if u, e := url.Parse(last.URL); e == nil && !r.isEndpoint(u.Host) && r.has(OtherHostAsks) {
		return
	}
	if r.failedAt(last.Host, AskedLate) {
		return // what the pull met, and what to do about it, is said
	}
	var page *resolver.NotManifestError
	switch {
	case errors.As(err, &page):
		f.Message = page.Error() // what is to be done is in it
	case !r.isEndpoint(last.Host) && r.presented(last) && refuses(last):
		f.Code, f.Where = CertificateRefused, last.Host
		f.Message = fmt.Sprintf("a redirect of %s leads there: %s (%s)", r.given, r.reply(last).Words, tried(last.Host, attempts))
		f.Next = "ask its owner which certificate it accepts, and put that one into " + r.directoryFor(strings.TrimSuffix(last.Host, ":443"))
	case r.has(TokenServer) && !r.isEndpoint(last.Host):
		return
	case errors.As(err, new(*choice.MissingPlatformError)), errors.As(err, new(*choice.DigestError)):
		// They say what is to be done.
	case errdefs.IsNotFound(err) || last.Status == http.StatusNotFound:
		tag := strings.TrimPrefix(r.repository.object, ":")
		known, refused := false, error(nil)
		if !strings.Contains(tag, "@") && p.Digest == "" {
			known, refused = r.tags(ctx, options)
		}
		if known {
			f.Code = TagMissing
			f.Message = "the repository is there, but has no tag " + cmp.Or(tag, "latest")
			f.Next = "name the tag: " + r.given + "/" + r.repository.name + ":TAG"
			if tag == "" {
				f.Severity = isWarning
			}
			break
		}
		if said := plain(err).Error(); strings.Contains(said, "/v1/_ping, and was not asked") {
			f.Code, f.Message = V1Forbidden, "404 Not Found in v2; "+hintOf(said)
			f.Next = "let Registry v1 be asked, as it says"
			break
		}
		f.Code, f.Message = NotFound, "404 Not Found"
		f.Next = "correct the name; some registries answer this to who may not see it"
		if refused != nil {
			f.Next = "correct the name or the tag: which one it is, the repository's list of tags would tell, and it was not to be had (" + presentable(plain(refused)) + ")"
		}
	case last.Status == http.StatusForbidden && last.Identity != "" && !r.presented(last):
		f.Code, f.Message, f.Next = NotAsked, "403 Forbidden"+notAsked, nextForNotAsked
	case last.Status == http.StatusForbidden:
		f.Code, f.Message = AllRefused, "403 Forbidden for "+tried(last.Host, attempts)
		f.Next = "ask the registry's owner which of these certificates is entitled to this repository"
	case last.Status == http.StatusUnauthorized && (r.failedAt(last.Host, CredentialsMissing) || r.failedAt(last.Host, NoRegistry) || r.has(TokenServer) || r.has(OtherHostAsks)):
		return // told already
	case last.Status == http.StatusUnauthorized && last.Hint != "":
		f.Code, f.Message, f.Next = NoRegistry, "401 Unauthorized", last.Hint
	case last.Status == http.StatusUnauthorized:
		f.Code, f.Message = CredentialsRefused, "401 Unauthorized"
		f.Next = "docker login " + r.given + "; client certificates do not answer this"
	case last.Refused && (r.failedAt(last.Host, CertificateRefused) || r.failedAt(last.Host, CertificateRequired)):
		return // told already, with what to do
	case last.Status >= 500:
		f.Code, f.Message = ServerError, fmt.Sprintf("%s for %s", statusWords(last.Status, last.Answer), tried(last.Host, attempts))
		f.Next = nextForSick
	case errdefs.IsInvalidArgument(err) && last.Status < 300 && last.Err == nil:
		f.Next = "what the registry has under this name cannot be used: have it pushed there again"
	case last.Err != nil:
		f.Message = fmt.Sprintf("%s: %s", last.Host, wordsOf(last.Err))
		f.Where, f.Next = p.Reference, last.Hint
	case last.Hint != "":
		f.Next = last.Hint
	}
	// What the API root has shown already is not said again.
	if !r.failedAt(last.Host, f.Code) {
		r.find(f)
	}
}

// hintOf is the last remark in brackets of an error.
func hintOf(text string) string {
	if i := strings.LastIndex(text, "("); i >= 0 {
		return strings.TrimSuffix(text[i+1:], ")")
	}
	return text
}

// refuses reports whether a server did not accept the client certificate it was
// shown, by an alert or by the statuses that some have for it.
func refuses(a certsd.Attempt) bool {
	return alerted(a.Err) || strings.Contains(statusWords(a.Status, a.Answer), "does not accept the client certificate")
}

// tags reports whether a repository shows that it has some. The error is that
// nobody can tell.
func (r *run) tags(ctx context.Context, options resolver.Options) (bool, error) {
	tags, err := resolver.New(options).Tags(ctx, r.given+"/"+r.repository.name)
	if errdefs.IsNotFound(err) {
		err = nil
	}
	return len(tags) > 0, err
}
