package reqctx

import (
	"context"
	"net/http"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

type grantKey struct{}

// grant is an Authorization that a server gave to whoever asked.
type grant struct {
	origin hostname.Origin
	value  string
}

// WithGrant returns a context in which the request may carry its Authorization
// to its host although another one redirected there: the host's own token
// server gave it to somebody who showed neither a password nor a certificate.
// It is sent to the scheme, host and port of req and to no other.
func WithGrant(req *http.Request) context.Context {
	return context.WithValue(req.Context(), grantKey{}, grant{hostname.OriginOf(req.URL), req.Header.Get("Authorization")})
}

// Granted returns the Authorization that a redirected request may carry, empty for
// none.
func Granted(req *http.Request) string {
	g, ok := req.Context().Value(grantKey{}).(grant)
	if !ok || g.origin != hostname.OriginOf(req.URL) || g.value != req.Header.Get("Authorization") {
		return ""
	}
	return g.value
}
