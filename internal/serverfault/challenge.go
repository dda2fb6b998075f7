package serverfault

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// Unanswerable says why no client of registries can answer the challenge of a
// 401 with a password or a token, and what to do. Both are empty if one can.
func Unanswerable(header http.Header) (reason, next string) {
	challenges := header.Values("Www-Authenticate")
	if len(challenges) == 0 {
		return "without a challenge (WWW-Authenticate): it does not say what it wants to know, and no password can be sent",
			"ask the registry's owner: what is in front of the registry may take the header away, or want a client certificate"
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
			return "", ""
		default:
			schemes = append(schemes, `"Bearer" without the realm of a token server`)
		}
	}
	return "with a challenge that clients of registries do not answer: " + safetext.Line(strings.Join(schemes, ", "), safetext.MaxURL),
		"ask the registry's owner: it, or what is in front of it, has to ask by Basic, or by Bearer with a realm"
}

// NothingInCommon is what to do about a server that ends a handshake before it
// asks for a client certificate.
const NothingInCommon = "it has no cipher suite or version of TLS in common with Go, and did not get as far as a client certificate: servers that offer only " +
	"RSA key exchange are so: let the server offer ECDHE and TLS 1.2 or 1.3 (meanwhile GODEBUG=tlsrsakex=1)"
