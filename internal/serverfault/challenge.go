package serverfault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Unanswerable returns why no registry client can answer the challenge of a 401 with a
// password or a token, and what to do. Both are empty if clients can.
func Unanswerable(header http.Header) (reason, next string) {
	challenges := header.Values("Www-Authenticate")
	if len(challenges) == 0 {
		return "without a challenge (WWW-Authenticate): it does not say how to authenticate, so no password can be sent",
			"ask the registry's owner: a proxy in front of the registry may remove the header, or require a client certificate"
	}
	var schemes []string
	for _, challenge := range challenges {
		challenge = strings.TrimSpace(challenge)
		scheme, rest := challenge, ""
		if i := strings.IndexAny(challenge, " \t,;="); i >= 0 {
			scheme, rest = challenge[:i], challenge[i:]
		}
		switch {
		case strings.EqualFold(scheme, "Basic"):
			return "", ""
		case !strings.EqualFold(scheme, "Bearer"):
			schemes = append(schemes, fmt.Sprintf("%q", safetext.Line(scheme, safetext.MaxName)))
		case strings.Contains(strings.ToLower(rest), "realm="):
			at := realmOf(rest)
			if isOrigin(at) {
				return "", ""
			}
			schemes = append(schemes, fmt.Sprintf(`"Bearer" with the realm %q, which is not the URL of a token server`, safetext.Line(at, safetext.MaxName)))
		default:
			schemes = append(schemes, `"Bearer" without the realm of a token server`)
		}
	}
	return "with a challenge that clients of registries do not answer: " + safetext.Line(strings.Join(schemes, ", "), safetext.MaxURL),
		"ask the registry's owner: the registry, or the proxy in front of it, must ask for Basic, or for Bearer with a realm"
}

// realmOf returns the realm in the parameters of a challenge.
func realmOf(parameters string) string {
	_, value, _ := strings.Cut(parameters[strings.Index(strings.ToLower(parameters), "realm="):], "=")
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value, _, _ = strings.Cut(quoted, `"`)
		return value
	}
	value, _, _ = strings.Cut(value, ",")
	return strings.TrimSpace(value)
}

// isOrigin reports whether a URL is absolute, with http or https.
func isOrigin(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
}

// NoTLS returns what to do about a server if the TLS handshake failed before it asked
// for a client certificate; empty if the error does not tell.
func NoTLS(err error, host string) string {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		return fmt.Sprintf(`server %[1]s answers in plain HTTP where TLS is expected: correct the port; if it is meant to be plain HTTP, write server = "http://%[1]s" into hosts.toml, without ca and client`, host)
	case errors.As(err, &record):
		return fmt.Sprintf("what listens at %s does not speak TLS: check the port", host)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Sprintf("server %s closes the connection before the TLS handshake is done: check the port and the server's log", host)
	}
	return ""
}

// NothingInCommon says what to do about a server that ends a handshake before it asks
// for a client certificate.
const NothingInCommon = "it has no cipher suite or version of TLS in common with Go, and ended the handshake before it asked for a client certificate, as servers do that offer only " +
	"RSA key exchange: have the server offer ECDHE and TLS 1.2 or 1.3 (meanwhile GODEBUG=tlsrsakex=1)"

// NamesPlainHTTP returns what is wrong with a server that, over TLS, names another in
// plain HTTP, such as a token server.
func NamesPlainHTTP(server string) string {
	return fmt.Sprintf("https://%s names it, and credentials would be readable on the way: "+
		"behind a proxy that ends TLS, set the registry's external URL to https://, or have the proxy send X-Forwarded-Proto: https", server)
}
