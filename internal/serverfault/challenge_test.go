package serverfault

import (
	"net/http"
	"strings"
	"testing"
)

// TestUnanswerable is about which 401 a password or a token can follow.
func TestUnanswerable(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		challenges []string
		want       string
	}{
		"none":                       {nil, "without a challenge"},
		"basic":                      {[]string{`Basic realm="x"`}, ""},
		"basic without a realm":      {[]string{"BASIC"}, ""},
		"bearer":                     {[]string{`bearer Realm="https://auth.test/token"`}, ""},
		"a realm without quotes":     {[]string{"Bearer realm=https://auth.test/token"}, ""},
		"a realm that is a path":     {[]string{`Bearer realm="/token",service="x"`}, `"Bearer" with the realm "/token", which is not the URL`},
		"a realm of nothing":         {[]string{`Bearer realm="",service="x"`}, `with the realm ""`},
		"a realm without a scheme":   {[]string{`Bearer realm="auth.test/token"`}, `with the realm "auth.test/token"`},
		"a realm of another scheme":  {[]string{`Bearer realm=ftp://auth.test/token, service="x"`}, `with the realm "ftp://auth.test/token"`},
		"a realm in plain HTTP":      {[]string{`Bearer realm="http://auth.test/token"`}, ""},
		"such a one beside basic":    {[]string{`Bearer realm="/token"`, "Basic"}, ""},
		"bearer without a realm":     {[]string{`Bearer service="x"`}, `"Bearer" without the realm of a token server`},
		"another":                    {[]string{"Negotiate"}, `do not answer: "Negotiate"`},
		"two others":                 {[]string{"Negotiate", `Digest realm="x", nonce="y"`}, `"Negotiate", "Digest"`},
		"another beside basic":       {[]string{"Negotiate", `Basic realm="x"`}, ""},
		"what does not print":        {[]string{"\x1b[31mN"}, `"[31mN"`},
		"nothing in the header line": {[]string{""}, `""`},
	} {
		reason, next := Unanswerable(http.Header{"Www-Authenticate": row.challenges})
		if (row.want == "") != (reason == "") || !strings.Contains(reason, row.want) || (reason == "") != (next == "") || strings.Contains(reason, "\x1b") {
			t.Errorf("%s: %q -> %q", name, reason, next)
		}
	}
}
