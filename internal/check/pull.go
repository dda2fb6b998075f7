package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// maxManifest bounds a manifest, as containerd does.
const maxManifest = 4 << 20

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
	ctx, cancel := context.WithTimeout(ctx, 3*stepTimeout)
	defer cancel()
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
		// What is wrong with the API root keeps nobody from pulling.
		for i := range r.report.Findings {
			r.report.Findings[i].Severity = isWarning
		}
		return
	}
	p.Error = presentable(plain(err))
	r.pullFailed(ctx, err, attempts, options)
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

// anyReached tells that there is a server to ask.
func (r *run) anyReached() bool {
	return slices.ContainsFunc(r.report.Endpoints, func(e *Endpoint) bool { return e.Live != nil && len(e.Live.Answers) > 0 })
}

// v1 tells that v1 is spoken, and v2 is not.
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
	if err != nil {
		return err
	}
	p.Digest = desc.Digest.String()
	fetcher, err := res.Fetcher(ctx, name)
	if err != nil {
		return err
	}
	return begin(ctx, fetcher, desc)
}

// begin reads the manifest of an image and the beginning of its configuration
// and of its first layer.
func begin(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) error {
	for range 3 {
		data, err := read(ctx, fetcher, desc, maxManifest)
		if err != nil {
			return fmt.Errorf("manifest %s: %w", desc.Digest, err)
		}
		var doc struct {
			Manifests []ocispec.Descriptor `json:"manifests"`
			Config    ocispec.Descriptor   `json:"config"`
			Layers    []ocispec.Descriptor `json:"layers"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return fmt.Errorf("manifest %s: %w", desc.Digest, err)
		}
		if images.IsIndexType(desc.MediaType) && len(doc.Manifests) > 0 {
			desc = ours(doc.Manifests)
			continue
		}
		blobs := doc.Layers[:min(len(doc.Layers), 1)]
		if doc.Config.Digest != "" {
			blobs = append([]ocispec.Descriptor{doc.Config}, blobs...)
		}
		for _, blob := range blobs {
			if _, err := read(ctx, fetcher, blob, 1); err != nil {
				return fmt.Errorf("blob %s: %w", blob.Digest, err)
			}
		}
		return nil
	}
	return nil
}

// ours is the manifest for this machine, else the first.
func ours(manifests []ocispec.Descriptor) ocispec.Descriptor {
	for _, m := range manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			return m
		}
	}
	return manifests[0]
}

// read reads the beginning of some content.
func read(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, most int64) ([]byte, error) {
	body, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer closing(body)
	data, err := io.ReadAll(io.LimitReader(body, most))
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return data, err
}

// plain is an error without the account of what was tried, which is reported
// apart.
func plain(err error) error {
	var e *resolver.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// pullFailed finds why.
func (r *run) pullFailed(ctx context.Context, err error, attempts []certsd.Attempt, options resolver.Options) {
	p := r.report.Pull
	f := Finding{Severity: isError, Code: PullFailed, Where: p.Reference, Message: presentable(plain(err))}
	last := certsd.Attempt{}
	if len(attempts) > 0 {
		last = attempts[len(attempts)-1]
	}
	if u, e := url.Parse(last.URL); e == nil && !r.isEndpoint(u.Host) && r.has(OtherHostAsks) {
		return
	}
	switch {
	case !r.isEndpoint(last.Host) && r.presented(last) && refuses(last):
		f.Code, f.Where = CertificateRefused, last.Host
		f.Message = fmt.Sprintf("a redirect of %s leads there: %s (%s)", r.given, r.reply(last).Words, tried(last.Host, attempts))
		f.Next = "ask its owner which certificate it accepts, and put that one into " + r.directoryFor(strings.TrimSuffix(last.Host, ":443"))
	case r.has(TokenServer) && !r.isEndpoint(last.Host):
		return
	case errdefs.IsNotFound(err) || last.Status == http.StatusNotFound:
		if r.repository.object == "" && r.tags(ctx, options) {
			f.Severity, f.Code = isWarning, TagMissing
			f.Message = "the repository is there, but has no tag latest"
			f.Next = "name the tag: " + r.given + "/" + r.repository.name + ":TAG"
			break
		}
		f.Code, f.Message = NotFound, "404 Not Found"
		f.Next = "correct the name; some registries answer this to who may not see it"
	case last.Status == http.StatusForbidden && last.Identity != "" && !r.presented(last):
		f.Code, f.Message, f.Next = NotAsked, "403 Forbidden"+notAsked, nextForNotAsked
	case last.Status == http.StatusForbidden:
		f.Code, f.Message = AllRefused, "403 Forbidden for "+tried(last.Host, attempts)
		f.Next = "ask the registry's owner which of these certificates is entitled to this repository"
	case last.Status == http.StatusUnauthorized && r.failedAt(last.Host, CredentialsMissing):
		return
	case last.Status == http.StatusUnauthorized:
		f.Code, f.Message = CredentialsRefused, "401 Unauthorized"
		f.Next = "docker login " + r.given + "; client certificates do not answer this"
	case last.Status >= 500:
		f.Code, f.Message = ServerError, fmt.Sprintf("%s for %s", statusWords(last.Status, last.Answer), tried(last.Host, attempts))
		f.Next = nextForSick
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

// refuses tells that a server did not accept the client certificate it was
// shown, by an alert or by the statuses that some have for it.
func refuses(a certsd.Attempt) bool {
	return alerted(a.Err) || strings.Contains(statusWords(a.Status, a.Answer), "does not accept the client certificate")
}

// tags tells whether a repository shows that it has some.
func (r *run) tags(ctx context.Context, options resolver.Options) bool {
	tags, err := resolver.New(options).Tags(ctx, r.given+"/"+r.repository.name)
	return err == nil && len(tags) > 0
}
