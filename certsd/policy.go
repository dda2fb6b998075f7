package certsd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/internal/handshake"
)

// reply is the outcome of presenting one identity: everything that the decision to
// try the next one depends on.
type reply struct {
	method, path string
	// status and header are the answer's, page the beginning of its body where
	// the status is 400. status is zero if there is none.
	status int
	header http.Header
	page   string
	// err is set if there is no answer.
	err error
	// asked reports whether the server asked for a client certificate on the
	// connection, fresh whether the request was the first one on it, and answered
	// whether at least one byte of an answer arrived.
	asked, fresh, answered bool
	// early reports whether the TLS handshake failed before the server asked.
	early bool
	// version is that of TLS, zero if there is no answer over TLS.
	version uint16
}

// sick reports whether the server has a problem of its own.
func (o reply) sick() bool { return o.status >= 500 && o.status <= 599 }

// nginx answers a refused certificate with its own statuses in the log and the
// error page, and with 400 on the wire: ngx_http_special_response.c maps 495
// and 496 to 400. Both may also be seen as they are, from other servers.
const (
	statusCertificateError    = 495
	statusCertificateRequired = 496
)

var nginxPages = []string{"No required SSL certificate was sent", "The SSL certificate error"}

// moves decides whether the next identity is presented: it returns the reason, empty
// to keep this reply. There are few reasons, so that they can be labels of metrics.
//
// The rules are Docker's (403 and 5xx) and what servers do in their place:
// 401 never moves on, it concerns credentials. 404 does so on the
// routes of Registry v1 only, where Crane and Red Hat's registry hide what a
// certificate may not see.
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
		// The server may have acted on it.
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
		// A handshake failure before the server asked for a certificate is
		// about something else: versions, ciphers, names.
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
// answer to HEAD has no page to recognise; there a registry's own 400 is recognised
// by its JSON media type.
func (o reply) nginx() bool {
	if o.method == http.MethodHead {
		return !strings.Contains(o.header.Get("Content-Type"), "json")
	}
	return slices.ContainsFunc(nginxPages, func(s string) bool { return strings.Contains(o.page, s) })
}

// safe reports whether a method changes nothing on the server: RFC 9110, 9.2.1.
func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}
