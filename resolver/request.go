package resolver

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/errdefs"
)

// maxManifest bounds the manifests read here, as docker.MaxManifestSize bounds
// those containerd reads.
const maxManifest = 4 << 20

// answer is a small response read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks an endpoint for a path below its API root. A challenge is answered
// once: that is all a token or a password can change.
func (r *Resolver) get(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, header http.Header, elements ...string) (*answer, error) {
	ctx, err := docker.ContextWithRepositoryScope(ctx, spec, false)
	if err != nil {
		return nil, err
	}
	resp, err := r.send(ctx, spec, rh, header, elements)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusUnauthorized || rh.Authorizer == nil {
		return read(resp)
	}
	err = rh.Authorizer.AddResponses(ctx, []*http.Response{resp})
	if errdefs.IsNotImplemented(err) {
		return read(resp)
	}
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if resp, err = r.send(ctx, spec, rh, header, elements); err != nil {
		return nil, err
	}
	return read(resp)
}

// ask is get for what a challenge answers, too.
func (r *Resolver) ask(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, elements ...string) (*answer, error) {
	resp, err := r.send(ctx, spec, rh, nil, elements)
	if err != nil {
		return nil, err
	}
	return read(resp)
}

// send makes one request the way docker's resolver makes them: with the headers
// of the pull and the endpoint, and with the registry's name for a mirror that
// serves several.
func (r *Resolver) send(ctx context.Context, spec reference.Spec, rh docker.RegistryHost, header http.Header, elements []string) (*http.Response, error) {
	u := url.URL{Scheme: rh.Scheme, Host: rh.Host, Path: path.Join(append([]string{"/", rh.Path}, elements...)...)}
	if len(elements) == 0 {
		u.Path += "/"
	}
	if name := spec.Hostname(); mirrors(rh, name) {
		u.RawQuery = url.Values{"ns": {name}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, h := range []http.Header{r.options.Header, rh.Header} {
		for k, v := range h {
			req.Header[k] = append(req.Header[k], v...)
		}
	}
	for k, v := range header {
		req.Header[k] = slices.Clone(v)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "containerd/"+version.Version)
	}
	if rh.Authorizer != nil {
		if err := rh.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
	}
	return rh.Client.Do(req)
}

// mirrors tells whether an endpoint stands for a registry of another name, as
// docker's resolver has it.
func mirrors(rh docker.RegistryHost, registry string) bool {
	return rh.Host != registry && (registry != "docker.io" || rh.Host != "registry-1.docker.io")
}

func read(resp *http.Response) (*answer, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", resp.Request.URL.Redacted(), err)
	}
	if len(body) > maxManifest {
		return nil, fmt.Errorf("%s answers with more than %d bytes", resp.Request.URL.Redacted(), maxManifest)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}
