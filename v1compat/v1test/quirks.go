package v1test

// Quirks are the habits of a server. The zero value is a well-behaved one:
// every route, right ranges, X-Docker-Size, no token, cookie or checksum.
type Quirks struct {
	// Ping is the body of _ping, "true" if empty. PingStatus is its status,
	// 200 if zero.
	Ping       string
	PingStatus int
	// Version is X-Docker-Registry-Version, sent with every answer.
	Version string
	// Standalone is X-Docker-Registry-Standalone, sent with every answer.
	Standalone string

	// Endpoints are the lines of X-Docker-Endpoints, sent with the index
	// answer. "{host}" stands for the request's Host, "{name}" for it without
	// its port.
	Endpoints []string
	// EverywhereEndpoints sends them with every answer, as the Apache example.
	EverywhereEndpoints bool
	// Token are the lines of X-Docker-Token sent with the index answer to a
	// request that asks for one, and repeated in WWW-Authenticate.
	Token []string
	// RequireToken, if not empty, is the Authorization that all but _ping and
	// the index call must have: 401 otherwise.
	RequireToken string
	// User and Secret, if set, are wanted as Basic from the index call, or with
	// BasicEverywhere from all but _ping: 401 otherwise.
	User, Secret    string
	BasicEverywhere bool
	// Cookie makes the index call set a session cookie, without which the
	// images routes answer 400 (Quay).
	Cookie bool

	// Library says what becomes of a repository's library/.
	Library Library
	// IndexBody replaces the list of images, as Quay's "[]".
	IndexBody string

	// TagStatus, if set, is the answer for tags/{tag}: 404 where only the list
	// is known (GCR, static trees), 200 with an empty body for the Apache
	// example, whose tags is a file.
	TagStatus int
	// BareTag answers tags/{tag} without quotes.
	BareTag bool

	// Size is what X-Docker-Size says.
	Size Size
	// Checksum is the name of the header with the payload checksum.
	Checksum string
	// CommonHeader is sent with every answer.
	CommonHeader map[string]string

	// Redirect, if set, answers images/{id}/… with 302 to Redirect/{id}/…;
	// see [NewStorage]. RedirectLayers does so for layers only.
	Redirect       string
	RedirectLayers bool
	// LayerType is the layer's Content-Type, application/octet-stream if empty.
	LayerType string
	// LayerEncoding is the layer's Content-Encoding: Apache takes stored gzip
	// for one (x-gzip).
	LayerEncoding string
	// Chunked sends layers without their length.
	Chunked bool
	// Ranges says how a Range is answered.
	Ranges Ranges
	// Empty416 answers 416 to a plain request for a layer of no bytes (python
	// since 0.6.8).
	Empty416 bool

	// Missing is the form of an answer to what is not there.
	Missing Missing
	// Hidden is the status for repositories and images that are missing: 404
	// if zero. Quay answers 403, Apache without a certificate, too.
	Hidden int
}

// Library says what a server makes of library/ and its absence.
type Library int

// What servers make of library/.
const (
	LibraryAdd   Library = iota // python, Quay: a missing namespace is library
	LibraryStrip                // Crane: library/ is taken off
	LibraryExact                // static trees: a name is a path
)

// Size says what X-Docker-Size is.
type Size int

// What servers send as X-Docker-Size with an image's JSON.
const (
	SizeRight  Size = iota // python, Quay
	SizeAbsent             // Crane, plain static trees
	SizeZero               // the Apache example, with every answer
	SizeWrong              // one too many
	SizeJunk               // not a number
)

// Ranges says how a server answers a Range request for a layer.
type Ranges int

// How servers answer ranges.
const (
	RangesRight    Ranges = iota // as RFC 9110 says
	RangesIgnored                // 200 with everything: python before 0.6.6
	RangesNoTotal                // python 0.6.6: "a-b/*" and no length
	RangesNoUnit                 // python 0.7 on: "a-b/n" and a length one too large; 416 for the last byte alone
	RangesRefused                // 416, always
	RangesShifted                // a part that begins elsewhere
	RangesHeadless               // 206 without Content-Range
)

// Missing is the form of an answer to what is not there.
type Missing int

// Forms of error answers.
const (
	MissingJSON  Missing = iota // {"error": "..."}: python, Quay
	MissingPlain                // a line of text: Crane, golang_impl
	MissingHTML                 // a page: Apache, proxies
	MissingEmpty                // 200 and no body: a CGI without a file
)

// Python06 is docker-registry 0.6.x.
func Python06() Quirks {
	return Quirks{
		Version: "0.6.8", Standalone: "True", Endpoints: []string{"{host}"},
		Token:    []string{`Token signature=ABC123,repository="library/busybox",access=read`},
		Checksum: "X-Docker-Checksum", Ranges: RangesNoTotal, Empty416: true,
		CommonHeader: map[string]string{"X-Docker-Registry-Config": "dev"},
	}
}

// Python07 is docker-registry 0.7 and 0.8.
func Python07() Quirks {
	q := Python06()
	q.Version = "0.7.3"
	q.Checksum = "X-Docker-Payload-Checksum"
	q.Ranges = RangesNoUnit
	return q
}

// Python09 is docker-registry 0.9.
func Python09() Quirks {
	q := Python07()
	q.Version, q.Ping, q.CommonHeader = "", "{}", nil
	q.Checksum = "X-Docker-Checksum-Payload"
	return q
}

// Golang returns the contrib/golang_impl of docker-registry.
func Golang() Quirks {
	return Quirks{
		Ping: "pong", Version: "0.0.1", Endpoints: []string{"{host}"}, TagStatus: 404,
		LayerType: "application/x-xz", Ranges: RangesIgnored, Missing: MissingPlain,
	}
}

// Apache returns a static tree as Apache serves it by itself.
func Apache() Quirks {
	return Quirks{
		Ping: "<html>", Library: LibraryExact, TagStatus: 404, Size: SizeAbsent,
		LayerType: "application/x-gzip", LayerEncoding: "x-gzip", Missing: MissingHTML,
	}
}

// Example returns the Apache configuration that came with Docker's certs.d: a CGI
// in front of a static tree, for any client certificate. Options.TLS and Wrap
// have to ask for that.
func Example() Quirks {
	return Quirks{
		Library: LibraryExact, TagStatus: 200, Version: "0.6.2", Size: SizeZero,
		Endpoints: []string{"{name}"}, EverywhereEndpoints: true, Missing: MissingHTML,
		LayerType: "text/plain", Ranges: RangesIgnored,
	}
}

// Crane is Pulp's Crane, which redirects to the storage at base (see
// [NewStorage]) for everything below images.
func Crane(base string) Quirks {
	return Quirks{
		Version: "0.6.6", Standalone: "True", Endpoints: []string{"{host}"}, Library: LibraryStrip,
		Size: SizeAbsent, Redirect: base, Missing: MissingPlain,
		CommonHeader: map[string]string{"X-Docker-Registry-Config": "common"},
	}
}

// Quay is Quay, which redirects layers to the storage at base.
func Quay(base string) Quirks {
	return Quirks{ //nolint:gosec // the token is made up
		Version: "0.6.0", Standalone: "0", Endpoints: []string{"{host}"}, IndexBody: "[]",
		Token: []string{"sigv2=ABC123"}, RequireToken: "Token sigv2=ABC123",
		Cookie:   true,
		Redirect: base, RedirectLayers: true, Hidden: 403,
	}
}

// GCR is Google's registry of that time, with its storage at base.
func GCR(base string) Quirks {
	return Quirks{
		Endpoints: []string{"{host}"}, Token: []string{"signature=XYZ"}, Standalone: "false",
		RequireToken: "Token signature=XYZ", TagStatus: 404, Redirect: base, Size: SizeAbsent,
	}
}
