package v1compat

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
)

// jar keeps the cookies of one session by origin. net/http's own jar takes no
// notice of ports: what one port of a host sets, another is sent.
//
// Quay needs them: its images routes find the repository in the session cookie
// that the index call set.
type jar struct {
	mu sync.Mutex // guards jars
	// jars hold an origin's cookies; the inner jar judges path and expiry.
	jars map[origin]*cookiejar.Jar
}

// Most a server may ask to keep with one answer; browsers agree on the size.
const (
	maxCookies     = 32
	maxCookieBytes = 4 << 10
)

// keep takes over the cookies of the answer that came from u.
func (j *jar) keep(u *url.URL, resp *http.Response) error {
	lines := resp.Header.Values("Set-Cookie")
	if len(lines) > maxCookies {
		return fmt.Errorf("%d cookies in one answer, at most %d are kept", len(lines), maxCookies)
	}
	for _, line := range lines {
		if len(line) > maxCookieBytes {
			return fmt.Errorf("a cookie of %d bytes, at most %d are kept", len(line), maxCookieBytes)
		}
	}
	if cookies := resp.Cookies(); len(cookies) > 0 {
		j.of(originOf(u)).SetCookies(u, cookies)
	}
	return nil
}

// add puts the cookies of the request's own origin into it.
func (j *jar) add(req *http.Request) {
	for _, cookie := range j.of(originOf(req.URL)).Cookies(req.URL) {
		req.AddCookie(cookie)
	}
}

func (j *jar) of(o origin) *cookiejar.Jar {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.jars == nil {
		j.jars = map[origin]*cookiejar.Jar{}
	}
	if j.jars[o] == nil {
		j.jars[o], _ = cookiejar.New(nil) // never fails
	}
	return j.jars[o]
}
