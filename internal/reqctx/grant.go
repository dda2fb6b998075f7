package reqctx

import (
	"context"
	"net/http"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

type grantKey struct{}

// grant is an Authorization that a server gives to anyone.
type grant struct {
	origin hostname.Origin
	value  string
}

// WithGrant returns a context that lets the request carry its Authorization to its host
// although another host redirected there: the host's own token server issued it without
// a password or a certificate. It is sent only to the scheme, host and port of req.
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
