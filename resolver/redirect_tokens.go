package resolver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostname"
	"github.com/certsd/containerd-certsd/internal/reqctx"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// strangers holds the tokens for redirect targets that give tokens to everybody: a
// registry may redirect its whole API to another one. Such a token is not a secret of
// the registry, and is sent only to the target that gave it.
type strangers struct {
	client   *http.Client
	mayGrant func(target, realm *url.URL) bool

	// mu guards byOrigin.
	mu sync.Mutex
	// byOrigin holds authorizers without credentials, by SCHEME://HOST; nil for a
	// target that has named a forbidden token server.
	byOrigin map[string]*shared
}

// maxStrangers bounds strangers.byOrigin, whose keys servers choose.
const maxStrangers = 64

// authorize adds a redirect target's token, if there is one, in place of the
// authorization for the server that redirected.
func (s *strangers) authorize(ctx context.Context, req *http.Request) error {
	a := s.challenged(req.URL)
	if a == nil {
		return nil
	}
	req.Header.Del("Authorization")
	if err := a.authorize(ctx, req, func() bool { return s.forget(req.URL, a) }); err != nil {
		return fmt.Errorf("token of %s, the target of a redirect: %w", req.URL.Host, err)
	}
	if strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ") {
		*req = *req.WithContext(reqctx.WithGrant(req))
	}
	return nil
}

func (s *strangers) challenged(target *url.URL) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byOrigin[originText(target)]
}

// forget removes s and reports whether it was still in use.
func (s *strangers) forget(target *url.URL, a *shared) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byOrigin[originText(target)] != a {
		return false
	}
	delete(s.byOrigin, originText(target))
	return true
}

// addResponses handles the challenge of a redirect target, as authorizer does for the
// registry. It never answers with a password: nobody gave one for this host.
func (s *strangers) addResponses(ctx context.Context, responses []*http.Response) error {
	last := responses[len(responses)-1]
	target := last.Request.URL
	if a := s.challenged(target); a != nil {
		if again, err := a.refused(responses, func() bool { return s.forget(target, a) }); again || err != nil {
			return err
		}
	}
	realm := bearerRealm(last.Header)
	s.mu.Lock()
	a, seen := s.byOrigin[originText(target)]
	switch {
	case realm == nil || !s.mayGrant(target, realm):
		if seen || len(s.byOrigin) < maxStrangers {
			s.byOrigin[originText(target)] = nil
		}
		a = nil
	case !seen && len(s.byOrigin) < maxStrangers:
		a = newShared(docker.NewDockerAuthorizer(docker.WithAuthClient(&http.Client{
			Transport: s.client.Transport,
			// A redirect could lead to the registry, which has its own certificates.
			CheckRedirect: sameOriginOnly,
		})))
		s.byOrigin[originText(target)] = a
	}
	s.mu.Unlock()
	if seen && a != nil && last.Request.Header.Get("Authorization") != "" {
		return nil // replaced meanwhile, as in authorizer
	}
	if a == nil && realm != nil && realm.Scheme == "http" && target.Scheme == "https" {
		return refusedRealm(ctx, last, realm)
	}
	if a == nil {
		return fmt.Errorf("%s, the target of a redirect, requires credentials: %w", target.Host, errdefs.ErrNotImplemented)
	}
	return a.inner.AddResponses(ctx, responses)
}

// refusedRealm returns why a token server with plain HTTP is not asked. It also
// records that in the trail: the next endpoint may answer 404 and hide it.
func refusedRealm(ctx context.Context, resp *http.Response, realm *url.URL) error {
	err := &certsd.PlainHTTPError{Host: realm.Host, Reason: serverfault.NamesPlainHTTP(resp.Request.URL.Host)}
	if trail := certsd.TrailOf(ctx); trail != nil {
		trail.Record(certsd.Attempt{
			Registry: realm.Host, Host: realm.Host, Method: http.MethodGet, URL: realm.Scheme + "://" + realm.Host + realm.EscapedPath(), Err: err,
		})
	}
	return err
}

func sameOriginOnly(req *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if !hostname.SameOrigin(req.URL, via[0].URL) {
		return fmt.Errorf("the token server %s redirects to %s", via[0].URL.Host, req.URL.Host)
	}
	return nil
}

func bearerRealm(header http.Header) *url.URL {
	for _, c := range auth.ParseAuthHeader(header) {
		if c.Scheme == auth.BearerAuth {
			if realm, err := url.Parse(c.Parameters["realm"]); err == nil && realm.Host != "" {
				return realm
			}
			return nil
		}
	}
	return nil
}

func originText(u *url.URL) string { return u.Scheme + "://" + u.Host }

// mayGrant returns a function that reports whether a token server, named by a
// redirect target, gives its tokens to everybody: it is not the registry, and no
// directory has a certificate or a header for it, unless it is the target itself.
func (h *Hosts) mayGrant(endpoint *certsd.Endpoint) func(target, realm *url.URL) bool {
	return func(target, realm *url.URL) bool {
		switch {
		case realm.Scheme != "https" && (realm.Scheme != "http" || target.Scheme != "http"):
			return false
		case hostname.SameOrigin(target, realm):
			return true
		case hostname.SameOrigin(realm, &url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host}):
			return false
		}
		own, err := h.Own(realm.Host)
		if err != nil || own == nil {
			return err == nil
		}
		for _, e := range own.Endpoints {
			if len(e.Identities) > 0 || len(e.Header) > 0 {
				return false
			}
		}
		return true
	}
}
