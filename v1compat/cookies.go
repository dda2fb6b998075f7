package v1compat

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
)

// jar keeps the registry's cookies for one session. It accepts and sends them for one
// origin only: net/http's own jar ignores schemes and ports, and would send a cookie
// set by one port of a host to another.
//
// Quay needs cookies: its images routes find the repository in the session cookie
// that the index call set.
type jar struct {
	origin origin
	jar    *cookiejar.Jar
}

// Limits for the cookies of one answer; browsers agree on the size.
const (
	maxCookies     = 32
	maxCookieBytes = 4 << 10
)

func newJar(o origin) jar {
	j, _ := cookiejar.New(nil) // never fails
	return jar{o, j}
}

// keep stores the cookies of the answer that came from u.
func (j jar) keep(u *url.URL, resp *http.Response) error {
	if originOf(u) != j.origin {
		return nil
	}
	lines := resp.Header.Values("Set-Cookie")
	if len(lines) > maxCookies {
		return fmt.Errorf("%d cookies in one answer, at most %d are kept", len(lines), maxCookies)
	}
	for _, line := range lines {
		if len(line) > maxCookieBytes {
			return fmt.Errorf("a cookie of %d bytes, at most %d are kept", len(line), maxCookieBytes)
		}
	}
	j.jar.SetCookies(u, resp.Cookies())
	return nil
}

// add adds the cookies of the request's origin to it.
func (j jar) add(req *http.Request) {
	if originOf(req.URL) != j.origin {
		return
	}
	for _, cookie := range j.jar.Cookies(req.URL) {
		req.AddCookie(cookie)
	}
}
