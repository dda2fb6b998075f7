package gateway

import (
	"net/http"
)

// tokenHeader carries the secret of clients that can send a header, as
// containerd can by its hosts.toml. basicUser is the user of the others.
const (
	tokenHeader = "X-Certsd-Token" //nolint:gosec // the name of a header
	basicUser   = "certsd"
)

var errSecret = &fault{
	status: http.StatusUnauthorized, code: codeUnauthorized,
	message: "the gateway wants its secret: as header " + tokenHeader + ", or as the password of user " + basicUser,
}

// admit lets a client in or not.
func (s *Server) admit(r *http.Request) error {
	if s.options.AllowAnyLocal || s.options.Secret != nil && s.options.Secret.presentedBy(r) {
		return nil
	}
	return errSecret
}
