package check

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/serverfault"
	"github.com/certsd/containerd-certsd/resolver"
)

const nextForSick = "look into the server's log; where only some certificates bring this, ask its owner which one is entitled"

const (
	notAsked        = ", and the server did not ask for a client certificate: none was presented"
	nextForNotAsked = "switch client certificates on at the server (nginx: ssl_verify_client, Apache: SSLVerifyClient), or look at user and password"
)

const nextForAskedLate = "let it ask on each connection: in Apache, SSLVerifyClient belongs outside of Location and Directory"

// judge finds what the answer to a pull's first request means.
func (r *run) judge(e *certsd.Endpoint, live *Live, resp *http.Response, body []byte, attempts []certsd.Attempt) {
	last, _ := lastFor(attempts, e.Host)
	f := Finding{Severity: r.severity(e), Where: e.Host}
	status := resp.StatusCode
	words := statusWords(status, last.Answer)
	switch {
	case status < 300:
		live.Protocol = "v2"
		r.page(resp, body, f)
		return
	case status == http.StatusUnauthorized:
		live.Protocol = "v2"
		r.unauthorized(e, resp, f)
		return
	case e.Path == "/v2" && r.oddBase(resp, body) && pinged(live):
		r.notV2(e, live, f)
		return
	case status == http.StatusNotFound && resp.Header.Get("Docker-Distribution-API-Version") == "" && e.Path == "/v2":
		r.notV2(e, live, f)
		return
	case status == http.StatusForbidden && len(e.Identities) > 0 && !last.Asked && strings.Contains(strings.ToLower(string(body)), "post-handshake authentication"):
		f.Code, f.Message, f.Next = AskedLate, words+": it asks for a client certificate after the handshake of TLS 1.3, which Go does not support", nextForAskedLate
	case status == http.StatusForbidden && len(e.Identities) > 0 && !last.Asked && !last.Resumed:
		f.Code, f.Message, f.Next = NotAsked, words+notAsked, nextForNotAsked
	case status == http.StatusForbidden:
		f.Code = AllRefused
		f.Message = fmt.Sprintf("%s for %s", words, tried(e.Host, attempts))
		f.Next = r.nextForRefusal(e, last)
	case strings.Contains(words, "wants a client certificate"):
		f.Code, f.Message, f.Next = CertificateRequired, words, r.nextForRequired(e)
	case strings.Contains(words, "does not accept the client certificate"):
		f.Code, f.Message = CertificateRefused, fmt.Sprintf("%s (%s)", words, tried(e.Host, attempts))
		f.Next = r.nextForRefusal(e, last)
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
	r.find(f)
}

// page finds that what answers may be no registry: a load balancer welcomes
// everybody. A registry says what it is, or answers in JSON or not at all.
func (r *run) page(resp *http.Response, body []byte, f Finding) {
	if resp.Header.Get("Docker-Distribution-API-Version") != "" || len(body) == 0 || json.Valid(body) || r.repository.name != "" {
		return
	}
	f.Severity, f.Code = isWarning, NoRegistry
	f.Message = statusWords(resp.StatusCode, "") + " for /v2/ with something that is no JSON: it may not be a registry"
	f.Next = "name a repository, which tells: " + r.command(r.given+"/REPOSITORY")
	r.find(f)
}

// failed finds what an error instead of an answer means.
func (r *run) failed(e *certsd.Endpoint, err error, attempts []certsd.Attempt) {
	var token *tokenError
	if errors.As(err, &token) {
		r.noToken(e, token, attempts)
		return
	}
	f := Finding{Severity: r.severity(e), Where: e.Host, Code: PullFailed, Message: wordsOf(err)}
	last, _ := lastFor(attempts, e.Host)
	refused := errors.As(err, new(*certsd.RefusedError))
	unverified := errors.As(err, new(*certsd.VerificationError))
	switch {
	case unverified:
		// Told already, by the handshake.
		if r.has(UnknownAuthority) || r.has(WrongName) || r.has(ServerExpired) || r.has(ServerUnverified) {
			return
		}
		f.Code = ServerUnverified
	case refused && strings.Contains(last.Hint, "in the middle of a connection"):
		f.Code, f.Message = AskedLate, "it asks for a client certificate in the middle of a connection"
		f.Next = nextForAskedLate
	case refused && len(e.Identities) == 0:
		f.Code, f.Next = CertificateRequired, r.nextForRequired(e)
	case refused:
		f.Code, f.Message = CertificateRefused, fmt.Sprintf("%s (%s)", wordsOf(err), tried(e.Host, attempts))
		f.Next = r.nextForRefusal(e, last)
	}
	r.find(f)
}

// tried lists the identities of attempts at a host.
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

func (r *run) nextForRequired(e *certsd.Endpoint) string {
	if other, file := r.namedForOthers(e, certificateFiles); file != "" {
		name := filepath.Base(file)
		return fmt.Sprintf(`%s is named for %s only: to present it here, too, write server = "https://%s" and client = [[%q, KEY]] at the top of hosts.toml`, name, other, e.Host, name)
	}
	if e.Dir != "" || r.inspection.Host.Dir != "" && e.Host == r.inspection.Name {
		return "put NAME.cert and NAME.key into " + r.directoryOf(e)
	}
	return pairInto(r.directoryFor(e.Host))
}

// pairInto says how a pair gets into a directory, which may be there or not.
func pairInto(dir string) string {
	if isDir(dir) {
		return "put NAME.cert and NAME.key into " + dir
	}
	return fmt.Sprintf("create %s with NAME.cert and NAME.key", dir)
}

func certificateFiles(e *certsd.Endpoint) (files []string) {
	for _, id := range e.Identities {
		files = append(files, id.CertFile)
	}
	return files
}

func caFiles(e *certsd.Endpoint) (files []string) {
	for _, ca := range e.CAs {
		files = append(files, ca.File)
	}
	return files
}

func (r *run) nextForRefusal(e *certsd.Endpoint, last certsd.Attempt) string {
	switch {
	case len(e.Identities) == 0 && last.Asked:
		return r.nextForRequired(e)
	case len(e.Identities) == 0:
		return "ask the registry's owner who may enter"
	case r.allFaulty(e):
		// One piece of advice is enough: it stands with what is wrong.
		return "mend first what is said of the client certificate's own files"
	case r.outdated(e, last):
		return "renew the certificate; if it is new, compare the clocks of this machine and of the server"
	}
	return "ask the registry's owner which of these certificates is entitled; compare issuer and subject with what it accepts"
}

// allFaulty reports whether something wrong was found with each of an endpoint's
// client certificates.
func (r *run) allFaulty(e *certsd.Endpoint) bool {
	for _, id := range e.Identities {
		if !slices.ContainsFunc(r.report.Findings, func(f Finding) bool { return ofPair[f.Code] && f.Where == id.CertFile }) {
			return false
		}
	}
	return len(e.Identities) > 0
}

// alertExpired is the TLS alert of a server for which a certificate is not valid
// at this time.
const alertExpired tls.AlertError = 45

// outdated reports whether certificates are refused for their validity, or whether it
// has ended for all of them.
func (r *run) outdated(e *certsd.Endpoint, last certsd.Attempt) bool {
	if alert, ok := certsd.ServerAlert(last.Err); ok && alert == alertExpired {
		return true
	}
	return !slices.ContainsFunc(e.Identities, func(id *certsd.Identity) bool { return r.now().Before(id.Certificate.Leaf.NotAfter) })
}

// unauthorized tells what a 401 means that stands after credentials, if there
// are some, were sent.
func (r *run) unauthorized(e *certsd.Endpoint, resp *http.Response, f Finding) {
	var user, secret string
	var err error
	if r.Credentials != nil {
		user, secret, err = r.Credentials(e.Host)
	}
	reason, next := serverfault.Unanswerable(resp.Header)
	switch basic := realmOf(resp) == ""; {
	case reason != "":
		// No password answers what is not asked.
		f.Code, f.Message, f.Next = NoRegistry, "401 Unauthorized "+reason, next
	case err != nil:
		f.Code, f.Message = CredentialsMissing, "401 Unauthorized, and what Docker's config.json names cannot be asked for user and password: "+presentable(err)
		f.Next = "mend the credential helper (credsStore, credHelpers), or docker login " + e.Host
	case user != "" || secret != "":
		f.Code, f.Message = CredentialsRefused, "401 Unauthorized for the credentials in Docker's config.json"
		f.Next = "docker login " + e.Host
	case !basic && r.repository.name == "":
		f.Severity, f.Code = isWarning, CredentialsUnknown
		f.Message = "401 Unauthorized for an anonymous token: whether one may pull without credentials depends on the repository"
		f.Next = "name one: " + r.command(r.given+"/REPOSITORY")
	case !basic:
		// The pull tells.
		return
	default:
		f.Code, f.Message = CredentialsMissing, "401 Unauthorized: it asks for user and password, and Docker's config.json has none for it"
		f.Next = "docker login " + e.Host + ", or give the client a pull secret; client certificates do not answer this"
	}
	r.find(f)
}

// noToken finds why a token server gave none.
func (r *run) noToken(e *certsd.Endpoint, err *tokenError, attempts []certsd.Attempt) {
	for _, a := range attempts {
		if a.Host == err.realm && a.Asked && a.Identity == "" && (a.Err != nil || a.Status >= 400) {
			// elsewhere has said so.
			return
		}
	}
	f := Finding{
		Severity: r.severity(e), Code: TokenServer, Where: err.realm,
		Message: "the token server gave no token: " + presentable(err.error), Next: "look into the log of " + err.realm,
	}
	if plain := plainRealm(err.challenge, e); plain != "" {
		f.Message = "the registry names a token server in plain HTTP, which is refused: realm=" + strconv.Quote(plain)
		f.Next = "behind a proxy that ends TLS, set the registry's external URL to https://, or have the proxy send X-Forwarded-Proto: https"
		r.find(f)
		return
	}
	if a, ok := lastFor(attempts, err.realm); ok {
		switch {
		case a.Err != nil:
			f.Message = "the token server cannot be asked: " + wordsOf(a.Err)
			f.Next = "see that it runs, and that no firewall is in between"
		case a.Status < 300:
		default:
			f.Message = "the token server gave no token: " + statusWords(a.Status, a.Answer)
		}
		f.Next = cmp.Or(a.Hint, f.Next)
		if a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden && a.Identity == "" {
			f.Next = "docker login " + e.Host
		}
	}
	r.find(f)
}

// elsewhere finds another host that asked for a certificate and got none.
func (r *run) elsewhere(e *certsd.Endpoint, a certsd.Attempt) {
	if a.Host == e.Host || !a.Asked || a.Identity != "" || a.Err == nil && a.Status < 400 {
		return
	}
	for _, other := range r.inspection.Host.Endpoints {
		if other.Host == a.Host {
			return
		}
	}
	who := "a redirect of " + e.Host + " leads there, and it"
	if r.realms[a.Host] {
		who = "the token server of " + e.Host
	}
	next := pairInto(r.directoryFor(strings.TrimSuffix(a.Host, ":443")))
	switch {
	case a.Dir != "":
		next = "put NAME.cert and NAME.key into " + a.Dir
	case len(e.CAs) > 0:
		// They count for it as long as it has no directory of its own.
		next += ", and with the CA root that signed its certificate as NAME.crt unless the system has it"
	}
	r.find(Finding{
		Severity: r.severity(e), Code: OtherHostAsks, Where: a.Host,
		Message: fmt.Sprintf("%s asks for a client certificate: %s", who, r.reply(a).Words), Next: next,
	})
}

// notV2 looks at a server without the v2 protocol.
func (r *run) notV2(e *certsd.Endpoint, live *Live, f Finding) {
	ping, used := false, live.Identity
	for _, a := range live.Answers {
		// 404 leads to the next certificate in this protocol, and to none only
		// where there is none.
		if (a.Identity != "" || len(e.Identities) == 0) && a.V1 != nil && a.V1.Status == http.StatusOK && (!ping || a.Identity == used) {
			ping, live.Identity = true, ""
			if a.Offered {
				live.Identity = a.Identity
			}
		}
	}
	host := r.inspection.Host
	switch {
	case !ping:
		f.Code, f.Message = NoRegistry, "404 Not Found for /v2/, and /v1/_ping does not answer either"
		f.Next = "is this the registry's right name and port?"
	case r.shared.AllowsV1(host) && live.Status != http.StatusNotFound && r.shared.PolicyV1(host) != resolver.V1Always:
		live.Protocol = "v1"
		f.Code, f.Message = V1Forbidden, statusWords(live.Status, "")+" for /v2/, and /v1/_ping answers: it speaks Registry v1, which is not asked"
		f.Next = resolver.SettingForV1(host)
	case r.shared.AllowsV1(host):
		live.Protocol = "v1"
		f.Severity, f.Code = isWarning, V1Only
		f.Message = "it speaks only the protocol Registry v1: certsd converts its images, stock containerd cannot pull them"
		f.Next = "move it to a v2 registry: see https://github.com/certsd/containerd-certsd/blob/main/docs/registry-v1.md"
	default:
		live.Protocol = "v1"
		f.Code, f.Message = V1Forbidden, "it speaks only the protocol Registry v1, which is for registries with a directory of their own"
		f.Next = fmt.Sprintf("create the directory %s; empty will do", r.directoryFor(host.Name))
		if host.RegistryV1 == resolver.V1Never {
			f.Message = `it speaks only the protocol Registry v1, and hosts.toml says registry_v1 = "never"`
			f.Next = `remove that key`
		}
	}
	r.find(f)
}

var realm = regexp.MustCompile(`(?i)^\s*bearer\s.*realm="?([^",\s]+)`)

// realmOf is the host[:port] of the token server a challenge names, empty if it
// names none.
func realmOf(resp *http.Response) string {
	for _, challenge := range resp.Header.Values("Www-Authenticate") {
		if m := realm.FindStringSubmatch(challenge); m != nil {
			if u, err := url.Parse(m[1]); err == nil {
				return u.Host
			}
		}
	}
	return ""
}

// withoutSecrets is a URL without user, query and fragment.
func withoutSecrets(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.RawPath = "" // as people write it
	return safetext.URL(u)
}

var anyURL = regexp.MustCompile(`https?://[^\s"'<>]+`)

// presentable is the text of an error, the URLs in it without secrets.
func presentable(err error) string {
	return printable(anyURL.ReplaceAllStringFunc(err.Error(), withoutSecrets))
}

// oddBase reports whether the root of the API is one that v1 may be behind, by
// the rule of a pull.
func (r *run) oddBase(resp *http.Response, body []byte) bool {
	return resolver.ClassifyBase(resp.StatusCode, resp.Header, body) == resolver.BaseOdd
}

// pinged reports whether a ping of v1 was answered to anybody.
func pinged(live *Live) bool {
	return slices.ContainsFunc(live.Answers, func(a Answer) bool { return a.V1 != nil && a.V1.Status == http.StatusOK })
}

// plainRealm is the realm of a challenge that leads from TLS to plain HTTP,
// empty if it does not.
func plainRealm(challenge string, e *certsd.Endpoint) string {
	m := realm.FindStringSubmatch(challenge)
	if m == nil || e.Scheme != "https" {
		return ""
	}
	if u, err := url.Parse(m[1]); err != nil || u.Scheme != "http" {
		return ""
	}
	return withoutSecrets(m[1])
}
