package bounded

import (
	"context"
	"net/http"
	"strings"
)

// Limits of answers in bytes, uncompressed. Each route of a registry has a known kind
// of answer; the largest document is a list of 100,000 tags.
const (
	maxToken    = 1 << 20
	maxManifest = 8 << 20
	maxDocument = 16 << 20
	maxError    = 64 << 10
)

// kind is the purpose of a request, which determines what its answer may be.
type kind struct {
	what string
	// limit is how many bytes the answer may have; zero means content, whose reader
	// knows its size.
	limit int64
	// long is how long the whole answer may take, in multiples of the patience.
	long int
}

var (
	kindContent  = kind{what: "content"}
	kindManifest = kind{what: "a manifest or an index", limit: maxManifest, long: 5}
	kindDocument = kind{what: "a document", limit: maxDocument, long: 5}
	kindToken    = kind{what: "a token", limit: maxToken, long: 2}
	kindError    = kind{what: "an error", limit: maxError, long: 2}
)

type kindKey struct{}

// Tokens returns a RoundTripper for the requests of an authorizer.
func Tokens(next http.RoundTripper) http.RoundTripper { return marked{next, kindToken} }

// Contents returns a RoundTripper for requests for content of known size at any URL.
func Contents(next http.RoundTripper) http.RoundTripper { return marked{next, kindContent} }

// marked marks requests with their kind, for the [Transport] below it.
type marked struct {
	next http.RoundTripper
	kind kind
}

// RoundTrip implements http.RoundTripper.
func (m marked) RoundTrip(req *http.Request) (*http.Response, error) {
	marked := req.WithContext(context.WithValue(req.Context(), kindKey{}, m.kind))
	resp, err := m.next.RoundTrip(marked)
	if err == nil && resp.Request == marked {
		resp.Request = req
	}
	return resp, err
}

// kindOf returns the kind of a request; a redirected one has that of the first request.
func kindOf(req *http.Request) kind {
	if k, ok := req.Context().Value(kindKey{}).(kind); ok {
		return k
	}
	const mostHops = 50 // clients follow ten redirects
	for range mostHops {
		if req.Response == nil || req.Response.Request == nil {
			break
		}
		req = req.Response.Request
	}
	return kindOfPath(req.Method, req.URL.Path)
}

// kindOfPath returns the kind for the routes of the distribution specification and of
// Registry v1, below any path of an endpoint.
func kindOfPath(method, path string) kind {
	if method != "" && method != http.MethodGet && method != http.MethodHead {
		return kindDocument
	}
	segments := strings.Split(path, "/")
	if len(segments) < 2 {
		return kindDocument
	}
	last, before := segments[len(segments)-1], segments[len(segments)-2]
	switch {
	case before == "blobs" && strings.Contains(last, ":"):
		return kindContent
	case last == "layer" && len(segments) > 3 && segments[len(segments)-3] == "images":
		return kindContent
	case before == "manifests", before == "referrers":
		return kindManifest
	}
	return kindDocument
}

// of returns the kind of an answer with a status.
func (k kind) of(status int) kind {
	if status >= http.StatusMultipleChoices {
		return kindError
	}
	return k
}
