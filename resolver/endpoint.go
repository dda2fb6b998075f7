package resolver

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/bounded"
)

// maxManifest bounds the manifests read here, as docker.MaxManifestSize bounds
// those containerd reads.
const maxManifest = 4 << 20

// account begins what is kept of the requests of one call.
func account(ctx context.Context) (context.Context, *certsd.Trail) {
	ctx, _ = bounded.WithAccount(ctx)
	return certsd.WithTrail(ctx)
}

// answer is a small response read whole.
type answer struct {
	// url is what was asked in the end.
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

// question is what an endpoint is asked for.
type question struct {
	// method is GET, also if empty, HEAD, or one of those that ask to be let push:
	// PUT, POST and DELETE.
	method string
	// elements are the path below the API root; none is the root itself.
	elements []string
	query    url.Values
	// at, if set, is the path and the query in place of elements and query, as an
	// answer of the endpoint has them.
	at *url.URL
	// upload, if set, is asked in place of all that: where an upload goes on, as
	// locations gives it.
	upload *url.URL
	header http.Header
	// body is what is sent.
	body []byte
	// limit bounds the answer's body in bytes; zero is maxManifest.
	limit int64
}

// endpoint is one server of a registry that is asked about one image, or one
// repository.
type endpoint struct {
	docker.RegistryHost
	// spec is what it is asked about.
	spec reference.Spec
	// pull are the headers that the pull or push brings along.
	pull http.Header
}

// get asks for a path below the API root.
func (e *endpoint) get(ctx context.Context, q question) (*answer, error) {
	resp, err := e.exchange(ctx, q)
	if err != nil {
		return nil, err
	}
	return read(resp, q.limit)
}

// maxChallenges bounds how often a request is challenged that had nothing to
// answer with, as where another one found out that their token cannot be had.
const maxChallenges = 3

// exchange sends a request. A challenge is answered once: that is all a token
// or a password can change.
func (e *endpoint) exchange(ctx context.Context, q question) (*http.Response, error) {
	ctx, err := docker.ContextWithRepositoryScope(ctx, e.spec, q.pushes())
	if err != nil {
		return nil, err
	}
	resp, err := e.send(ctx, q)
	for range maxChallenges {
		if err != nil || resp.StatusCode != http.StatusUnauthorized || e.Authorizer == nil {
			return resp, err
		}
		err = e.Authorizer.AddResponses(ctx, []*http.Response{resp})
		if errdefs.IsNotImplemented(err) {
			return resp, nil
		}
		_ = resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp, err = e.send(ctx, q)
		if err == nil && resp.Request.Header.Get("Authorization") != "" {
			break
		}
	}
	return resp, err
}

// ask is get for what a challenge answers, too.
func (e *endpoint) ask(ctx context.Context, q question) (*answer, error) {
	resp, err := e.send(ctx, q)
	if err != nil {
		return nil, err
	}
	return read(resp, q.limit)
}

// send makes one request the way docker's resolver makes them: with the headers
// of the pull and the endpoint, and with the registry's name for a mirror that
// serves several.
func (e *endpoint) send(ctx context.Context, q question) (*http.Response, error) {
	var content io.Reader
	if q.body != nil {
		content = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, cmp.Or(q.method, http.MethodGet), e.url(&q).String(), content)
	if err != nil {
		return nil, err
	}
	for _, h := range []http.Header{e.pull, e.Header} {
		for k, v := range h {
			req.Header[k] = append(req.Header[k], v...)
		}
	}
	for k, v := range q.header {
		req.Header[k] = slices.Clone(v)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "containerd/"+version.Version)
	}
	if e.Authorizer != nil {
		if err := e.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
	}
	client := *e.Client
	if client.CheckRedirect == nil && e.Authorizer != nil {
		// As docker's resolver has it: the target may have tokens of its own.
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return e.Authorizer.Authorize(ctx, req)
		}
	}
	return client.Do(req)
}

// pushes reports whether it is part of a push, which tokens are to allow.
func (q *question) pushes() bool {
	return q.method == http.MethodPut || q.method == http.MethodPost || q.method == http.MethodDelete
}

// url returns where a question is asked.
func (e *endpoint) url(q *question) *url.URL {
	if q.upload != nil {
		return q.upload
	}
	u := &url.URL{Scheme: e.Scheme, Host: e.Host}
	if q.at != nil {
		u.Path, u.RawPath, u.RawQuery = q.at.Path, q.at.RawPath, q.at.RawQuery
	} else {
		u.Path = path.Join(append([]string{"/", e.Path}, q.elements...)...)
		if len(q.elements) == 0 {
			u.Path += "/"
		}
		u.RawQuery = q.query.Encode()
	}
	if name := e.spec.Hostname(); mirrors(e.Host, name) && !u.Query().Has("ns") {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+url.Values{"ns": {name}}.Encode(), "&")
	}
	return u
}

// mirrors reports whether a host stands for a registry of another name, as
// docker's resolver has it.
func mirrors(host, registry string) bool {
	return host != registry && (registry != hostname.DockerHub || host != hostname.DockerHubServer)
}

// read reads at most limit bytes of a body.
func read(resp *http.Response, limit int64) (*answer, error) {
	defer resp.Body.Close()
	limit = cmp.Or(limit, maxManifest)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", resp.Request.URL.Redacted(), err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s answers with more than %d bytes", resp.Request.URL.Redacted(), limit)
	}
	return &answer{url: resp.Request.URL, status: resp.StatusCode, header: resp.Header, body: body}, nil
}
