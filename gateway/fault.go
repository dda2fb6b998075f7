package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/resolver"
)

// The codes of the distribution specification, "Error Codes", and the two that Docker's
// registry adds for other errors.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDenied          = "DENIED"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeTooMany         = "TOOMANYREQUESTS"
	codeUnauthorized    = "UNAUTHORIZED"
	codeUnsupported     = "UNSUPPORTED"
	codeUnavailable     = "UNAVAILABLE"
	codeUnknown         = "UNKNOWN"
)

// fault is an error as sent to a client.
type fault struct {
	status        int
	code, message string
	// retryAfter is when to ask again, zero if unknown.
	retryAfter time.Duration
	// realm is the realm of a 401's challenge; empty means the gateway itself.
	realm string
	// cause is for the log.
	cause error
}

// Error implements error.
func (f *fault) Error() string { return f.message }

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.cause }

var (
	errMethod      = &fault{status: http.StatusMethodNotAllowed, code: codeUnsupported, message: "the gateway is read-only: only GET and HEAD are served"}
	errLoop        = &fault{status: http.StatusLoopDetected, code: codeUnavailable, message: "this request comes from the gateway itself: hosts.toml files that lead to it must not be in its own root, nor in that of a gateway it leads to"}
	errUnknownPath = &fault{status: http.StatusNotFound, code: codeUnsupported, message: "the gateway serves manifests, blobs, tags/list and referrers below /v2/"}
)

// faultOf returns the fault to send to a client for an error. A registry's 401 is never
// passed on: the client would take it to be about the gateway's own secret, and has no
// other to send.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	f = &fault{message: err.Error(), cause: err}
	f.status, f.code = statusOf(err)
	if f.code == codeTooMany {
		f.retryAfter = upstreamBusy
	}
	return f
}

// upstreamBusy is the Retry-After if a registry is too busy.
const upstreamBusy = 30 * time.Second

// statusOf returns the class of an error. containerd treats 404 as "not here" and
// asks the next host: it is only used if the registry itself says that something
// does not exist, and for a digest that the image does not have.
func statusOf(err error) (int, string) {
	var timeout net.Error
	var store *storeError
	switch answer, answered := registrysAnswer(err); {
	case errors.As(err, &store):
		return store.status(), codeUnavailable
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return http.StatusForbidden, codeDenied
	case answered && (answer == http.StatusUnauthorized || answer == http.StatusForbidden):
		return http.StatusForbidden, codeDenied
	case answered && answer == http.StatusTooManyRequests:
		// containerd repeats a request four times immediately after 429, which is not
		// what the registry asks for, and once after 503.
		return http.StatusServiceUnavailable, codeTooMany
	case errors.As(err, new(*resolver.DigestError)), notThere(err):
		return http.StatusNotFound, codeManifestUnknown
	case errdefs.IsPermissionDenied(err), errdefs.IsUnauthorized(err):
		return http.StatusForbidden, codeDenied
	case errdefs.IsNotImplemented(err):
		return http.StatusNotImplemented, codeUnsupported
	case errdefs.IsInvalidArgument(err):
		return http.StatusBadGateway, codeUnsupported
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout, codeUnavailable
	default:
		return http.StatusBadGateway, codeUnavailable
	}
}

// apiPath matches paths of the registry API. The storage that a registry redirects
// to has other paths.
var apiPath = regexp.MustCompile(`/manifests/|/blobs/[a-z0-9+.-]+:|/tags/|/referrers/|/v1/`)

// registrysAnswer returns the status of a registry's own answer, not of a host that
// it redirects to.
func registrysAnswer(err error) (status int, ok bool) {
	var answer remoteserrors.ErrUnexpectedStatus
	if !errors.As(err, &answer) || !apiPath.MatchString(answer.RequestURL) {
		return 0, false
	}
	return answer.StatusCode, true
}

// notThere reports whether a registry said that something does not exist. Other
// not-found errors are about the storage that a registry redirects to, or about this
// machine.
func notThere(err error) bool {
	var e *resolver.Error
	return errors.As(err, &e) && errdefs.IsNotFound(err) && slices.ContainsFunc(e.Trail.Attempts(), func(a certsd.Attempt) bool {
		return a.Status == http.StatusNotFound && apiPath.MatchString(a.URL)
	})
}

// maxMessage bounds the text of an error, which includes the upstream's answers, in
// bytes.
const maxMessage = 16 << 10

// writeFault answers with an error in the form of the distribution
// specification.
func writeFault(w http.ResponseWriter, r *http.Request, f *fault) {
	h := w.Header()
	// Remove the headers of the answer that failed.
	for _, name := range []string{"Docker-Content-Digest", "Etag", "Content-Length", "Content-Range", "Accept-Ranges", "Link", "Oci-Filters-Applied"} {
		h.Del(name)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.retryAfter.Seconds())))
	}
	switch f.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", fmt.Sprintf(`Basic realm=%q, charset="UTF-8"`, cmp.Or(f.realm, "certsd gateway")))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD")
	}
	message := safetext.Text(f.message)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	type ociError struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]ociError{"errors": {{f.code, message}}})
	if err != nil {
		body = []byte(`{"errors":[{"code":"UNKNOWN"}]}`)
	}
	_ = writeJSON(w, r, f.status, "application/json", append(body, '\n'))
}

// writeJSON writes a small answer. It does not matter whether the client is gone.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, mediaType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return nil
}

// unknownBlob gives the fault of a missing blob its own code.
func unknownBlob(err error) error {
	if !errors.As(err, new(*resolver.Error)) || !errdefs.IsNotFound(err) {
		return err
	}
	f := faultOf(err)
	if f.status == http.StatusNotFound {
		f.code = codeBlobUnknown
	}
	return f
}

// unsatisfiable passes on that a registry cannot satisfy the requested range.
func unsatisfiable(err error, wanted string) error {
	status, ok := registrysAnswer(err)
	if wanted == "" || !ok || status != http.StatusRequestedRangeNotSatisfiable {
		return err
	}
	return &fault{status: status, code: codeUnsupported, message: err.Error(), cause: err}
}
