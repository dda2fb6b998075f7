package check

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/serverfault"
	"github.com/certsd/containerd-certsd/internal/v1policy"
	"github.com/certsd/containerd-certsd/resolver"
)

const nextForSick = "look into the server's log; if only some certificates get this answer, ask its owner which one has access"

const (
	notAsked        = ", and the server did not ask for a client certificate: none was presented"
	nextForNotAsked = "enable client certificates at the server (nginx: ssl_verify_client, Apache: SSLVerifyClient), or look at user and password"
)

const nextForAskedLate = "have it ask at the start of each connection: in Apache, move SSLVerifyClient out of Location and Directory"

// answerJudge decides what a server's answers mean.
type answerJudge struct {
	advice
	// shared decides which registries may be asked over Registry v1.
	shared *resolver.Hosts
	// realms holds the host[:port] of the token servers that challenges named.
	realms map[string]bool
}

// root records the answer to a pull's first request and judges it.
func (j *answerJudge) root(e *certsd.Endpoint, live *Live, host string, answer rootAnswer) {
	if answer.realm != "" {
		j.realms[answer.realm] = true
	}
	for _, a := range answer.attempts {
		j.elsewhere(e, a)
	}
	if answer.err != nil {
		j.failed(e, answer.err, answer.attempts)
		return
	}
	if a, ok := lastFor(answer.attempts, host); ok && j.presented(a) {
		live.Identity = a.Identity
	}
	live.Status = answer.resp.StatusCode
	j.judge(e, live, answer.resp, answer.body, answer.attempts)
}

// judge finds what the answer to a pull's first request means.
func (j *answerJudge) judge(e *certsd.Endpoint, live *Live, resp *http.Response, body []byte, attempts []certsd.Attempt) {
	last, _ := lastFor(attempts, e.Host)
	f := Finding{Where: e.Host}
	status := resp.StatusCode
	words := statusWords(status, last.Answer)
	switch {
	case status < 300:
		live.Protocol = "v2"
		j.page(resp, body, f)
		return
	case status == http.StatusUnauthorized:
		live.Protocol = "v2"
		j.unauthorized(e, resp, f)
		return
	case e.Path == "/v2" && oddBase(resp, body) && pinged(live):
		j.notV2(e, live, f)
		return
	case status == http.StatusNotFound && resp.Header.Get("Docker-Distribution-API-Version") == "" && e.Path == "/v2":
		j.notV2(e, live, f)
		return
	case status == http.StatusForbidden && len(e.Identities) > 0 && !last.Asked && strings.Contains(strings.ToLower(string(body)), "post-handshake authentication"):
		f.Code, f.Message, f.Next = AskedLate, words+": it asks for a client certificate after the handshake of TLS 1.3, which Go does not support", nextForAskedLate
	case status == http.StatusForbidden && len(e.Identities) > 0 && !last.Asked && !last.Resumed:
		f.Code, f.Message, f.Next = NotAsked, words+notAsked, nextForNotAsked
	case status == http.StatusForbidden:
		f.Code = AllRefused
		f.Message = fmt.Sprintf("%s for %s", words, tried(e.Host, attempts))
		f.Next = j.nextForRefusal(e, last)
	case wantsCertificate(status, last.Answer):
		f.Code, f.Message, f.Next = CertificateRequired, words, j.nextForRequired(e)
	case refusesCertificate(status, last.Answer):
		f.Code, f.Message = CertificateRefused, fmt.Sprintf("%s (%s)", words, tried(e.Host, attempts))
		f.Next = j.nextForRefusal(e, last)
	case status >= 500:
		f.Code, f.Message = ServerError, fmt.Sprintf("%s for %s", words, tried(e.Host, attempts))
		f.Next = nextForSick
	case status >= 300 && status < 400:
		f.Code, f.Message = NoRegistry, fmt.Sprintf("%s to %s", words, withoutSecrets(resp.Header.Get("Location")))
		f.Next = "a registry does not redirect its API root: is this its right name?"
	default:
		f.Code, f.Message = NoRegistry, words
		f.Next = "is this the registry's right name and port?"
	}
	j.findAt(e, f)
}

// page warns that the server may not be a registry: a load balancer may greet
// everybody. A registry sends its version header, JSON or an empty body.
func (j *answerJudge) page(resp *http.Response, body []byte, f Finding) {
	if resp.Header.Get("Docker-Distribution-API-Version") != "" || len(body) == 0 || json.Valid(body) || j.repository.name != "" {
		return
	}
	f.Code = NoRegistry
	f.Message = statusWords(resp.StatusCode, "") + " for /v2/ with something that is not JSON: it may not be a registry"
	f.Next = "name a repository to find out: " + j.viewer.command(j.given+"/REPOSITORY")
	j.warn(f)
}

// failed judges an error that came instead of an answer.
func (j *answerJudge) failed(e *certsd.Endpoint, err error, attempts []certsd.Attempt) {
	var token *tokenError
	if errors.As(err, &token) {
		j.noToken(e, token, attempts)
		return
	}
	f := Finding{Where: e.Host, Code: PullFailed, Message: wordsOf(err)}
	last, _ := lastFor(attempts, e.Host)
	refused := errors.As(err, new(*certsd.RefusedError))
	unverified := errors.As(err, new(*certsd.VerificationError))
	switch {
	case unverified:
		// The handshake has reported it.
		if j.has(UnknownAuthority) || j.has(WrongName) || j.has(ServerExpired) || j.has(ServerUnverified) {
			return
		}
		f.Code = ServerUnverified
	case refused && handshake.AskedLate(last.Err):
		f.Code, f.Message = AskedLate, "it asks for a client certificate in the middle of a connection"
		f.Next = nextForAskedLate
	case refused && len(e.Identities) == 0:
		f.Code, f.Next = CertificateRequired, j.nextForRequired(e)
	case refused:
		f.Code, f.Message = CertificateRefused, fmt.Sprintf("%s (%s)", wordsOf(err), tried(e.Host, attempts))
		f.Next = j.nextForRefusal(e, last)
	}
	j.findAt(e, f)
}

// tried names the identities that were tried at a host.
func tried(host string, attempts []certsd.Attempt) string {
	var names []string
	for _, a := range attempts {
		if a.Host == host && a.Skipped == "" && a.Identity != "" && !slices.Contains(names, a.Identity) {
			names = append(names, a.Identity)
		}
	}
	switch len(names) {
	case 0:
		return "a request without a client certificate"
	case 1:
		return names[0]
	default:
		return "each of " + joined(names)
	}
}

// unauthorized explains a 401 that remains after any credentials were sent.
func (j *answerJudge) unauthorized(e *certsd.Endpoint, resp *http.Response, f Finding) {
	var user, secret string
	var err error
	if j.Credentials != nil {
		user, secret, err = j.Credentials(e.Host)
	}
	reason, next := serverfault.Unanswerable(resp.Header)
	switch basic := realmOf(resp) == ""; {
	case reason != "":
		// Without a usable challenge no password helps.
		f.Code, f.Message, f.Next = NoRegistry, "401 Unauthorized "+reason, next
	case err != nil:
		f.Code, f.Message = CredentialsMissing, "401 Unauthorized, and the credential helper in Docker's config.json does not give a user and password: "+presentable(err)
		f.Next = "fix the credential helper (credsStore, credHelpers), or docker login " + e.Host
	case user != "" || secret != "":
		f.Code, f.Message = CredentialsRefused, "401 Unauthorized for the credentials in Docker's config.json"
		f.Next = "docker login " + e.Host
	case !basic && j.repository.name == "":
		f.Code = CredentialsUnknown
		f.Message = "401 Unauthorized for an anonymous token: whether a pull without credentials is allowed depends on the repository"
		f.Next = "name one: " + j.viewer.command(j.given+"/REPOSITORY")
	case !basic:
		// The pull will show.
		return
	default:
		f.Code, f.Message = CredentialsMissing, "401 Unauthorized: it requires a user and a password, and Docker's config.json has none for it"
		f.Next = "docker login " + e.Host + ", or give the client a pull secret; client certificates do not help here"
	}
	j.findAt(e, f)
}

// noToken finds why a token server issued no token.
func (j *answerJudge) noToken(e *certsd.Endpoint, err *tokenError, attempts []certsd.Attempt) {
	for _, a := range attempts {
		if a.Host == err.realm && a.Asked && a.Identity == "" && (a.Err != nil || a.Status >= 400) {
			// elsewhere has reported it.
			return
		}
	}
	f := Finding{
		Code: TokenServer, Where: err.realm,
		Message: "the token server gave no token: " + presentable(err.error), Next: "look into the log of " + err.realm,
	}
	if plain := plainRealm(err.challenge, e); plain != "" {
		f.Message = "the registry names a token server in plain HTTP, which is refused: realm=" + strconv.Quote(plain)
		f.Next = "behind a proxy that ends TLS, set the registry's external URL to https://, or have the proxy send X-Forwarded-Proto: https"
		j.findAt(e, f)
		return
	}
	if a, ok := lastFor(attempts, err.realm); ok {
		switch {
		case a.Err != nil:
			f.Message = "the token server cannot be asked: " + wordsOf(a.Err)
			f.Next = "check that it is running and that no firewall is in between"
		case a.Status < 300:
		default:
			f.Message = "the token server gave no token: " + statusWords(a.Status, a.Answer)
		}
		f.Next = cmp.Or(a.Hint, f.Next)
		if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden && a.Identity == "" {
			f.Next = "docker login " + e.Host
		}
	}
	j.findAt(e, f)
}

// elsewhere finds a host other than the endpoints that asked for a client certificate
// and got none.
func (j *answerJudge) elsewhere(e *certsd.Endpoint, a certsd.Attempt) {
	if a.Host == e.Host || !a.Asked || a.Identity != "" || a.Err == nil && a.Status < 400 {
		return
	}
	for _, other := range j.inspection.Host.Endpoints {
		if other.Host == a.Host {
			return
		}
	}
	who := "a redirect of " + e.Host + " leads there, and it"
	if j.realms[a.Host] {
		who = "the token server of " + e.Host
	}
	next := pairInto(j.directoryFor(strings.TrimSuffix(a.Host, ":443")))
	switch {
	case a.Dir != "":
		next = "put NAME.cert and NAME.key into " + a.Dir
	case len(e.CAs) > 0:
		// The endpoint's CAs apply to it only until it has a directory of its own.
		next += ", and with the CA root that signed its certificate as NAME.crt unless the system has it"
	}
	j.findAt(e, Finding{
		Code: OtherHostAsks, Where: a.Host,
		Message: fmt.Sprintf("%s asks for a client certificate: %s", who, j.reply(a).Words), Next: next,
	})
}

// notV2 judges a server that does not speak v2, and may speak v1.
func (j *answerJudge) notV2(e *certsd.Endpoint, live *Live, f Finding) {
	ping, used := false, live.Identity
	for _, a := range live.Answers {
		// In v1, a 404 leads to the next certificate; a request goes without one only
		// if none is configured.
		if (a.Identity != "" || len(e.Identities) == 0) && a.V1 != nil && a.V1.Status == http.StatusOK && (!ping || a.Identity == used) {
			ping, live.Identity = true, ""
			if a.Offered {
				live.Identity = a.Identity
			}
		}
	}
	host := j.inspection.Host
	switch {
	case !ping:
		f.Code, f.Message = NoRegistry, "404 Not Found for /v2/, and /v1/_ping does not answer either"
		f.Next = "is this the registry's right name and port?"
	case j.shared.AllowsV1(host) && live.Status != http.StatusNotFound && j.shared.PolicyV1(host) != resolver.V1Always:
		live.Protocol = "v1"
		f.Code, f.Message = V1Forbidden, statusWords(live.Status, "")+" for /v2/, and /v1/_ping answers: it speaks Registry v1, which is not asked"
		f.Next = v1policy.SettingFor(host)
	case j.shared.AllowsV1(host):
		live.Protocol = "v1"
		f.Code = V1Only
		f.Message = "it speaks only the protocol Registry v1: certsd converts its images, stock containerd cannot pull them"
		f.Next = "move it to a v2 registry: see https://github.com/certsd/containerd-certsd/blob/main/docs/registry-v1.md"
	default:
		live.Protocol = "v1"
		f.Code, f.Message = V1Forbidden, "it speaks only the protocol Registry v1, which is for registries with a directory of their own"
		f.Next = fmt.Sprintf("create the directory %s; it may be empty", j.directoryFor(host.Name))
		if host.RegistryV1 == resolver.V1Never {
			f.Message = `it speaks only the protocol Registry v1, and hosts.toml says registry_v1 = "never"`
			f.Next = `remove that key`
		}
	}
	j.findAt(e, f)
}

// oddBase reports whether the answer at the API root suggests v1, by the rule that
// pulls follow.
func oddBase(resp *http.Response, body []byte) bool {
	return v1policy.Classify(resp.StatusCode, resp.Header, body) == v1policy.Odd
}

// pinged reports whether /v1/_ping answered any identity.
func pinged(live *Live) bool {
	return slices.ContainsFunc(live.Answers, func(a Answer) bool { return a.V1 != nil && a.V1.Status == http.StatusOK })
}
