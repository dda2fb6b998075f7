package bounded

import (
	"context"
	"net/http"
	"strings"
)

// Bytes of the answers, unpacked. What a registry may send is known for each of
// its routes; of what else there is the largest is the list of 100,000 tags.
const (
	maxToken    = 1 << 20
	maxManifest = 8 << 20
	maxDocument = 16 << 20
	maxError    = 64 << 10
)

// kind is what a request is made for, which tells what its answer may be.
type kind struct {
	what string
	// limit is how many bytes the answer may have; zero is for content that
	// somebody who knows its size reads and judges.
	limit int64
	// long is how many times the patience the answer may take in all.
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

// Contents returns a RoundTripper for requests for content at any URL, whose
// size is known.
func Contents(next http.RoundTripper) http.RoundTripper { return marked{next, kindContent} }

// marked says what requests are made for. It is outside of a [Transport].
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

// kindOf returns the kind of a request, or of the one that was redirected to it.
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

// kindOfPath knows the routes of the distribution specification and of Registry
// v1, below whatever path an endpoint has.
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
