package certsd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/handshake"
)

// reply is the outcome of presenting one identity: all that the decision to try the
// next one depends on.
type reply struct {
	method, path string
	// status and header are the answer's, page the beginning of its body if the status
	// is 400. status is zero without an answer.
	status int
	header http.Header
	page   string
	// err says why there is no answer, nil if there is one.
	err error
	// asked reports whether the server asked for a client certificate on the
	// connection, fresh whether the request was the first one on it, and answered
	// whether at least one byte of an answer arrived.
	asked, fresh, answered bool
	// early reports whether the TLS handshake failed before the server asked.
	early bool
	// version is the TLS version, zero without an answer over TLS.
	version uint16
}

// sick reports whether the server has a problem of its own.
func (o reply) sick() bool { return o.status >= 500 && o.status <= 599 }

// nginx reports a refused certificate as 495 or 496 in its log and error page but as
// 400 on the wire: see ngx_http_special_response.c. Other servers may send 495 and 496
// as they are.
const (
	statusCertificateError    = 495
	statusCertificateRequired = 496
)

var nginxPages = []string{"No required SSL certificate was sent", "The SSL certificate error"}

// moves decides whether the next identity is presented: it returns the reason, or "" to
// keep this reply. The reasons are few, to serve as labels of metrics.
//
// The rules are Docker's (403 and 5xx) and what servers do instead of 403: 401 never
// moves on, because it concerns credentials. 404 does only on routes of Registry v1,
// where Crane and Red Hat's registry hide what a certificate may not see.
func moves(r RotateOn, o reply) string {
	if o.err != nil {
		return movesOnError(o)
	}
	switch status := o.status; {
	case status == http.StatusUnauthorized:
	case status == statusCertificateError, status == statusCertificateRequired:
		return strconv.Itoa(status)
	case status == http.StatusBadRequest && o.nginx():
		return "400 for a refused certificate"
	case status >= 500 && !safe(o.method):
		// The server may have acted on the request.
	case status == http.StatusNotFound && strings.HasPrefix(o.path, "/v1/"), r.Has(status):
		return strconv.Itoa(status)
	}
	return ""
}

// movesOnError is moves for a request without an answer.
func movesOnError(o reply) string {
	if _, ok := unusable(o.err); ok {
		return "key type not accepted"
	}
	if unsigned(o.err) != nil {
		return "key did not sign"
	}
	if alert, ok := handshake.Alert(o.err); ok {
		// A handshake failure before the server asked for a certificate has another
		// cause: versions, ciphers, names.
		if handshake.RefusesCertificate(alert) && (o.asked || alert != handshake.Failure) {
			return "alert " + strconv.Itoa(int(alert))
		}
		return ""
	}
	if o.asked && o.fresh && !o.answered && safe(o.method) && handshake.Cut(o.err) {
		return "connection cut"
	}
	return ""
}

// refuses reports whether a request without an answer may have failed because of its
// certificate or the lack of one, whatever its method.
func refuses(o reply) bool {
	o.method = http.MethodGet
	return o.err != nil && movesOnError(o) != ""
}

// certificateRefused reports whether the reply says, other than by a 403, that the
// certificate or the lack of one was refused.
func (o reply) certificateRefused() bool {
	switch {
	case o.err != nil:
		return refuses(o) && unsigned(o.err) == nil
	case o.status == http.StatusBadRequest:
		return o.nginx()
	}
	return o.status == statusCertificateError || o.status == statusCertificateRequired
}

// nginx reports whether a 400 is nginx's for a refused or missing certificate. An
// answer to HEAD has no page: then it is nginx's unless its media type is JSON, as a
// registry's is.
func (o reply) nginx() bool {
	if o.method == http.MethodHead {
		return !strings.Contains(o.header.Get("Content-Type"), "json")
	}
	return slices.ContainsFunc(nginxPages, func(s string) bool { return strings.Contains(o.page, s) })
}

// safe reports whether a method is safe: RFC 9110, 9.2.1.
func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}
