package v1compat

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// minSecret is the length below which a header or a part of a query does not count as
// a secret, as in certsd: short strings occur in any text.
const minSecret = 8

// public lists the request headers that are not secret.
var public = []string{"Accept-Encoding", "Range", "User-Agent", "X-Docker-Token"}

// secrets returns the strings that a server's explanation must not repeat.
func (s *session) secrets(resp *http.Response) []string {
	secrets := secretsSent(resp)
	for _, own := range []string{s.secret, s.bearer()} {
		if own != "" {
			secrets = append(secrets, own)
		}
	}
	if s.secret != "" {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(s.user+":"+s.secret)))
	}
	return secrets
}

// secretsSent returns the request's headers, including those a transport added, and
// its query, where signed URLs have their signature; also those of the requests that
// were redirected to it.
func secretsSent(resp *http.Response) []string {
	var sent []string
	for resp != nil && resp.Request != nil {
		req := resp.Request
		for name, values := range req.Header {
			if !slices.Contains(public, name) {
				sent = append(sent, values...)
			}
		}
		_, credentials, _ := strings.Cut(req.Header.Get("Authorization"), " ")
		_, password, _ := req.BasicAuth()
		sent = append(sent, credentials, password)
		for _, cookie := range req.Cookies() {
			sent = append(sent, cookie.Value)
		}
		for part := range strings.FieldsFuncSeq(req.URL.RawQuery, func(r rune) bool { return r == '&' || r == '=' }) {
			sent = append(sent, part)
			if plain, err := url.QueryUnescape(part); err == nil {
				sent = append(sent, plain)
			}
		}
		resp = req.Response
	}
	return slices.DeleteFunc(sent, func(s string) bool { return len(s) < minSecret })
}
