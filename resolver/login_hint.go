package resolver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
)

// loginHint returns the next step after a failed login, empty for other errors. The
// server that requires the login is the last that answered 401; a token server
// requires the registry's.
func loginHint(err error, ref string, attempts []certsd.Attempt) string {
	var answer remoteserrors.ErrUnexpectedStatus
	unauthorized := errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized
	if !unauthorized && !errors.Is(err, docker.ErrInvalidAuthorization) && !errdefs.IsUnauthorized(err) {
		return ""
	}
	server, _, _ := strings.Cut(ref, "/")
	for _, a := range attempts {
		if a.Status == http.StatusUnauthorized && (strings.Contains(a.URL, "/v2/") || strings.Contains(a.URL, "/v1/")) {
			server = a.Host
		}
	}
	return fmt.Sprintf("server %s requires a user and a password, or refused those it was sent: docker login %s, or correct the pull secret or ctr --user; client certificates do not help here",
		server, server)
}
