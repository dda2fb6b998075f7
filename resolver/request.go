package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"

	"github.com/containerd/containerd/v2/core/remotes/docker"
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
func get(ctx context.Context, rh docker.RegistryHost, header http.Header, elements ...string) (*answer, error) {
	resp, err := send(ctx, rh, header, elements)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && rh.Authorizer != nil {
		err := rh.Authorizer.AddResponses(ctx, []*http.Response{resp})
		if err == nil {
			_ = resp.Body.Close()
			resp, err = send(ctx, rh, header, elements)
		}
		if err != nil && !errdefs.IsNotImplemented(err) {
			return nil, err
		}
	}
	return read(resp)
}

func send(ctx context.Context, rh docker.RegistryHost, header http.Header, elements []string) (*http.Response, error) {
	p := path.Join(append([]string{"/", rh.Path}, elements...)...)
	if len(elements) == 0 {
		p += "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rh.Scheme+"://"+rh.Host+p, nil)
	if err != nil {
		return nil, err
	}
	for _, h := range []http.Header{rh.Header, header} {
		for k, v := range h {
			req.Header[k] = append(req.Header[k], v...)
		}
	}
	if rh.Authorizer != nil {
		if err := rh.Authorizer.Authorize(ctx, req); err != nil {
			return nil, err
		}
	}
	client := *rh.Client
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return client.Do(req)
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
