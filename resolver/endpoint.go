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

// account returns a context that records the requests of one call.
func account(ctx context.Context) (context.Context, *certsd.Trail) {
	ctx, _ = bounded.WithAccount(ctx)
	return certsd.WithTrail(ctx)
}

// answer is a small response read whole.
type answer struct {
	// url is the URL of the last request, after redirects.
	url    *url.URL
	status int
	header http.Header
	body   []byte
}

// question is a request to an endpoint.
type question struct {
	// method is GET (the default), HEAD, or one that requires a token to push: PUT,
	// POST or DELETE.
	method string
	// elements are the path below the API root, which is requested if there are none.
	elements []string
	query    url.Values
	// at, if set, holds path and query in place of elements and query, as the
	// endpoint gave them in an answer.
	at *url.URL
	// upload, if set, replaces all of these: the URL of an upload, as returned by
	// locations.
	upload *url.URL
	header http.Header
	// body is the request's body.
	body []byte
	// limit bounds the answer's body in bytes; zero is maxManifest.
	limit int64
}

// endpoint is one server of a registry, for requests about one image or repository.
type endpoint struct {
	docker.RegistryHost
	// spec names the image or repository.
	spec reference.Spec
	// pull holds the headers of the pull or push.
	pull http.Header
}

// get makes a request and reads the answer.
func (e *endpoint) get(ctx context.Context, q question) (*answer, error) {
	resp, err := e.exchange(ctx, q)
	if err != nil {
		return nil, err
	}
	return read(resp, q.limit)
}

// maxChallenges bounds the challenges to requests without a token, such as after
// another request found that their token is not available.
const maxChallenges = 3

// exchange sends a request. It answers a challenge once: a token or a password cannot
// change more.
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

// ask makes a request as get does, but a challenge is an answer, too.
func (e *endpoint) ask(ctx context.Context, q question) (*answer, error) {
	resp, err := e.send(ctx, q)
	if err != nil {
		return nil, err
	}
	return read(resp, q.limit)
}

// send makes one request the way docker's resolver does: with the headers of the pull
// and the endpoint, and with the registry's name for a mirror that serves several.
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
		// As in docker's resolver: the target may have tokens of its own.
		client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return errors.New("stopped after 10 redirects")
			}
			return e.Authorizer.Authorize(ctx, req)
		}
	}
	return client.Do(req)
}

// pushes reports whether the request is part of a push, which its token must allow.
func (q *question) pushes() bool {
	return q.method == http.MethodPut || q.method == http.MethodPost || q.method == http.MethodDelete
}

// url returns the URL of a request.
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

// mirrors reports whether a host stands for a registry of another name, by the rule
// of docker's resolver.
func mirrors(host, registry string) bool {
	return host != registry && (registry != hostname.DockerHub || host != hostname.DockerHubServer)
}

// read reads and closes a body of at most limit bytes.
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
