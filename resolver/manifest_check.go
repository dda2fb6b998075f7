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
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/manifest"
	"github.com/certsd/containerd-certsd/internal/reqctx"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// objects ensures that an endpoint's answer for a manifest is one, and undoes codings
// applied to manifests and blobs in transit. Everything that pulls, copies, serves or
// checks builds on it: a manifest that passes it has a manifest's media type and its
// real length; a blob that passes it has no Content-Encoding, and no zero length in
// place of an unknown one.
//
// A HEAD is believed if it answers every question. Some registries omit its headers,
// file servers have types of their own, and some do not support HEAD at all: then the
// manifest itself is read before anything is concluded.
type objects struct {
	next http.RoundTripper
	// host is the endpoint's host, path the root of its API.
	host, path string
}

// RoundTrip implements http.RoundTripper.
func (o *objects) RoundTrip(req *http.Request) (*http.Response, error) {
	first := firstOf(req)
	kind, object := o.target(first)
	switch {
	case kind == "blobs" && req.Method == http.MethodGet:
		return o.blob(req, object)
	case kind == "blobs" && req.Method == http.MethodHead:
		return o.blobHead(req, object)
	case kind != "manifests":
		return o.next.RoundTrip(req)
	}
	if first == req {
		// Redirects are followed with the context of the original request.
		ctx := req.Context()
		if reqctx.PresentedIn(ctx) == nil {
			ctx, _ = reqctx.WithPresented(ctx)
		}
		req = req.Clone(ctx)
	} else {
		req = req.Clone(req.Context())
	}
	// A manifest is read whole and without any coding.
	req.Header.Del("Range")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := o.manifest(req, object)
	var page *NotManifestError
	if !errors.As(err, &page) || first == req || !page.redirected() {
		return resp, err
	}
	return o.again(first, page)
}

// target returns what a request is for: "manifests" or "blobs" below the root of the
// API, and the tag or digest.
func (o *objects) target(req *http.Request) (kind, object string) {
	if req.URL == nil || req.URL.Host != o.host || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return "", ""
	}
	below, ok := strings.CutPrefix(req.URL.Path, o.path+"/")
	if !ok {
		return "", ""
	}
	elements := strings.Split(below, "/")
	if len(elements) < 3 {
		return "", ""
	}
	return elements[len(elements)-2], elements[len(elements)-1]
}

// manifest requests a manifest.
func (o *objects) manifest(req *http.Request, object string) (*http.Response, error) {
	resp, err := o.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if req.Method != http.MethodHead {
		if resp.StatusCode != http.StatusOK {
			return resp, nil
		}
		return held(resp, object)
	}
	if !doubtful(resp, object) || notThere(req, resp) {
		return resp, nil
	}
	closing(resp)
	get := req.Clone(req.Context())
	get.Method = http.MethodGet
	answer, err := o.next.RoundTrip(get)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		if answer, err = held(answer, object); err != nil {
			return nil, err
		}
	} else {
		// The text of the error goes into the trail.
		_, _ = io.CopyN(io.Discard, answer.Body, maxSaid)
	}
	closing(answer)
	answer.Body = http.NoBody
	return answer, nil
}

// maxSaid is how much of an error is read, in bytes.
const maxSaid = 8 << 10

// notThere reports whether a HEAD shows that something does not exist, and no GET is
// needed to confirm it.
func notThere(req *http.Request, resp *http.Response) bool {
	return resp.StatusCode == http.StatusNotFound && absenceStands(req.Context())
}

// doubtful reports whether a HEAD for a manifest must be followed by a GET. That is
// not needed when a server refuses a user or a certificate, or is too busy: a GET
// would get the same answer.
func doubtful(resp *http.Response, object string) bool {
	if resp.StatusCode == http.StatusOK {
		d := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
		switch manifest.KindOf(resp.Header.Get("Content-Type")) {
		case 0, manifest.Schema1: // which some servers use for everything of unknown type
			return true
		}
		named := d.Validate() == nil || d == "" && digest.Digest(object).Validate() == nil
		return resp.ContentLength <= 0 || !named
	}
	return inconclusive(resp.StatusCode)
}

// inconclusive reports whether a status may concern HEAD alone.
func inconclusive(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return false
	}
	return status >= http.StatusBadRequest
}

// held reads a manifest and puts its type, length and digest into the answer's
// header.
func held(resp *http.Response, object string) (*http.Response, error) {
	defer closing(resp)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, manifest.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", withoutSecrets(resp.Request.URL.String()), err)
	}
	want := digest.Digest(object)
	if want.Validate() != nil {
		want = digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	}
	body := plainOf(raw, resp.Header.Get("Content-Encoding"), want)
	found, err := manifest.Parse(body, resp.Header.Get("Content-Type"))
	if err != nil {
		if coding := resp.Header.Get("Content-Encoding"); len(encodings(coding)) > 0 {
			err = fmt.Errorf("%w (sent with Content-Encoding %.100q, which was not asked for)", err, coding)
		}
		return nil, notManifest(resp, raw, err)
	}
	h := resp.Header
	h.Del("Content-Encoding")
	h.Set("Content-Type", found.MediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if found.Kind != manifest.Schema1 && digest.Digest(object).Validate() != nil {
		// The digest of a schema 1 manifest covers only a part of it. If the manifest
		// was requested by digest, the caller compares it.
		if err := name(h, body); err != nil {
			return nil, fmt.Errorf("%s: %w", withoutSecrets(resp.Request.URL.String()), err)
		}
	}
	resp.ContentLength, resp.Body = int64(len(body)), io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// name verifies the digest a manifest was sent with, or adds a missing one.
func name(h http.Header, body []byte) error {
	said := digest.Digest(h.Get("Docker-Content-Digest"))
	if said == "" || said.Validate() != nil {
		h.Set("Docker-Content-Digest", digest.FromBytes(body).String())
		return nil
	}
	if got := said.Algorithm().FromBytes(body); got != said {
		return fmt.Errorf("the server sent a manifest as %s that is %s: it was discarded: ask the registry's owner, or try another mirror: %w", said, got, errdefs.ErrDataLoss)
	}
	return nil
}

// again repeats a request for a manifest with the next client certificate after a
// redirect led to a web page: a front end may redirect clients whose certificate it
// refuses.
func (o *objects) again(first *http.Request, page *NotManifestError) (*http.Response, error) {
	presented := reqctx.PresentedIn(first.Context())
	another := presented.Refuse()
	page.Identities = presented.Refused()
	if !another {
		return nil, page
	}
	client := &http.Client{Transport: o}
	req := first.Clone(first.Context())
	req.RequestURI = ""
	resp, err := client.Do(req)
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return resp, err
}

// NotManifestError reports that a server sent something else in place of a manifest.
type NotManifestError struct {
	// URL is the URL requested, Page the one a redirect led to, empty without one.
	// Neither has a query.
	URL, Page string
	// Status and MediaType are those of the answer.
	Status    int
	MediaType string
	// HTML reports whether the answer is a web page.
	HTML bool
	// Identities are the client certificates that got this answer, as far as known.
	Identities []string
	// Err is the cause.
	Err error
}

func notManifest(resp *http.Response, body []byte, err error) *NotManifestError {
	first := firstOf(resp.Request)
	e := &NotManifestError{
		URL: withoutSecrets(first.URL.String()), Status: resp.StatusCode,
		MediaType: manifest.Base(resp.Header.Get("Content-Type")), Err: err,
	}
	if resp.Request != first {
		e.Page = withoutSecrets(resp.Request.URL.String())
	}
	begin := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), 512)])))
	e.HTML = e.MediaType == "text/html" || strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html")
	return e
}

func (e *NotManifestError) redirected() bool { return e.Page != "" }

// Error names the URL, its answer and the next step.
func (e *NotManifestError) Error() string {
	var b strings.Builder
	b.WriteString(e.URL)
	if e.redirected() {
		b.WriteString(" leads to " + e.Page + ", which")
	}
	fmt.Fprintf(&b, " answers %d with %s, which is not a manifest: ", e.Status, cmp.Or(strconv.Quote(clipped(e.MediaType)), "no media type"))
	if e.HTML {
		b.WriteString("it is a web page")
	} else {
		b.WriteString(e.Err.Error())
	}
	if len(e.Identities) > 0 {
		fmt.Fprintf(&b, " (with %s)", strings.Join(e.Identities, ", "))
	}
	switch {
	case e.HTML && e.redirected():
		b.WriteString(": the registry's front end requires a login, or redirects clients whose certificate it refuses: run `certsd check` to see the answer to each certificate, and ask the registry's owner which of them has access")
	case e.HTML:
		b.WriteString(": is this the registry's right name and port?")
	default:
		b.WriteString(": push the image again, or ask the registry's owner what is stored there")
	}
	return b.String()
}

func clipped(text string) string {
	if text == "" {
		return "nothing said"
	}
	return safetext.Clip(text, 100)
}

// Unwrap returns errdefs.ErrDataLoss and the cause.
func (e *NotManifestError) Unwrap() []error { return []error{errdefs.ErrDataLoss, e.Err} }

// firstOf returns the original request of a chain of redirects that ends with req.
func firstOf(req *http.Request) *http.Request {
	for range maxRedirects {
		if req.Response == nil || req.Response.Request == nil {
			break
		}
		req = req.Response.Request
	}
	return req
}

// maxRedirects is more than any client follows.
const maxRedirects = 20

func closing(resp *http.Response) { _ = resp.Body.Close() }

type absenceKey struct{}

// withAbsence marks requests to the target of a push: content that a HEAD does not
// find there is sent, and that answer counts.
func withAbsence(ctx context.Context) context.Context {
	return context.WithValue(ctx, absenceKey{}, true)
}

func absenceStands(ctx context.Context) bool { return ctx.Value(absenceKey{}) != nil }

type blobKey struct{}

// withBlob adds the descriptor of the requested blob to a context.
func withBlob(ctx context.Context, desc ocispec.Descriptor) context.Context {
	return context.WithValue(ctx, blobKey{}, desc)
}

// blobIn returns the descriptor of the requested blob, if known: clients of a gateway
// request blobs by digest only.
func blobIn(ctx context.Context) (ocispec.Descriptor, bool) {
	desc, ok := ctx.Value(blobKey{}).(ocispec.Descriptor)
	return desc, ok
}
