package gateway

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
)

// login is a user and password that a client sends for a registry in addition to the
// gateway's secret, such as a pull secret of Kubernetes. It is used at the registry and
// its token server, only for the requests that bring it, and never appears in a log, an
// error or a file.
type login struct {
	// host is the registry's host[:port].
	host           string
	user, password string
	// id identifies a login irreversibly: its key ends with the process.
	id string
}

// loginAge bounds how long the resolver of a login is kept, with user, password and
// token. Without an expiry, a token lasts 60 seconds: distribution's token
// authentication specification.
const loginAge = time.Minute

// logins extracts logins from requests.
type logins struct {
	key []byte
	// secret is the gateway's own; pass allows clients to bring a login.
	secret *sharedSecret
	pass   bool
}

func newLogins(o *options) *logins {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails
	return &logins{key: key, secret: o.Secret, pass: o.PassCredentials}
}

func (l *logins) id(parts ...string) string {
	mac := hmac.New(sha256.New, l.key)
	for _, part := range parts {
		sum := sha256.Sum256([]byte(part))
		_, _ = mac.Write(sum[:])
	}
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// of returns the login in a request for a registry, or nil. The secret must be in the
// header: if it is in Authorization, that is for the gateway.
func (l *logins) of(r *http.Request, host string) *login {
	if !l.allowed(r) {
		return nil
	}
	user, password, ok := r.BasicAuth()
	if !ok || password == "" || l.secret.matches(r.Context(), password) {
		// The gateway's secret must never be sent to a registry, not even by
		// mistake.
		return nil
	}
	return &login{host: host, user: user, password: password, id: l.id(host, user, password)}
}

// allowed reports whether a request may bring a login.
func (l *logins) allowed(r *http.Request) bool {
	token := r.Header.Get(tokenHeader)
	return l.pass && l.secret != nil && token != "" && l.secret.matches(r.Context(), token)
}

// credentials returns the login for the registry itself, as named in the reference: a
// mirror in its hosts.toml is another server.
func (l *login) credentials(host string) (user, secret string, err error) {
	if host != l.host {
		return "", "", nil
	}
	return l.user, l.password, nil
}

// suffix separates the keys of different logins.
func (l *login) suffix() string {
	if l == nil {
		return ""
	}
	return " " + l.id
}

// refusedAge is how long a refused login is not retried: clients repeat refused
// requests in several ways, which may lock an account.
const refusedAge = 10 * time.Second

// wasRefused returns the error of a login that was refused a moment ago, or nil.
func (u *upstreams) wasRefused(t *target) error {
	if t.login == nil {
		return nil
	}
	refused := u.resolverFor(t).refused.Load()
	if refused == nil || time.Since(refused.at) > refusedAge {
		return nil
	}
	return refused.err
}

// refusal is the error of a refused login, and its time.
type refusal struct {
	at  time.Time
	err error
}

// askForLogin asks a client for a login if it may send one, has not, and the registry
// requires it. A refused login is final: a client that is asked again would retry it
// several times, and be locked out.
func (s *server) askForLogin(r *http.Request, t *target, err error) error {
	if err == nil || !wantsLogin(err) {
		return err
	}
	if t.login != nil {
		s.upstreams.resolverFor(t).refused.Store(&refusal{time.Now(), err})
		return err
	}
	if !s.logins.allowed(r) {
		return err
	}
	return &fault{
		status: http.StatusUnauthorized, code: codeUnauthorized, cause: err, realm: t.host,
		message: t.host + " requires a user and a password",
	}
}

// wantsLogin reports whether a registry, or its token server, answered 401.
func wantsLogin(err error) bool {
	if errors.Is(err, docker.ErrInvalidAuthorization) {
		return true
	}
	var answer remoteserrors.ErrUnexpectedStatus
	return errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized
}
