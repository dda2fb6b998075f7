package check

import (
	"net/http"
	"net/url"
	"regexp"

	"github.com/certsd/containerd-certsd/certsd"
)

var realm = regexp.MustCompile(`(?i)^\s*bearer\s.*realm="?([^",\s]+)`)

// realmOf returns the host[:port] of the token server that a challenge names, or "".
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

// plainRealm returns the realm of a challenge that leads from TLS to plain HTTP, or "".
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
