package safetext

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
)

// URL returns a URL as it may be shown, in one line: without a user, and without query and
// fragment, where signed URLs have their signature.
func URL(u *url.URL) string {
	return Line((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String(), MaxURL)
}

// Origin is scheme and host of a URL: all that may be known of a proxy.
func Origin(u *url.URL) string {
	return Line((&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), MaxURL)
}

// An address with a user, and perhaps a password. Where none ends before the first
// slash, what has a colon there may be a user whose password has the slash.
var (
	withUser   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)?(?:[^/?#]*@|[^/?#:]*:/?[^/].*@)`)
	userInText = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s"'/?#]*@|[^\s"'/?#:]*:[^\s"']*@)|[^\s"'/?#]+@`)
	proxy      = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(?:.*@)?([^/?#]*)`)
)

// Address returns what somebody wrote for an address, without user and password.
func Address(address string) string { return withUser.ReplaceAllString(address, "${1}…@") }

// Addresses returns a text without the users and passwords of addresses in it, of which
// nobody knows where they begin and end.
func Addresses(text string) string { return userInText.ReplaceAllString(text, "${1}…@") }

// Proxy is scheme and host of what somebody wrote for the address of a proxy, http
// without a scheme.
func Proxy(address string) string {
	parts := proxy.FindStringSubmatch(address)
	return Line(cmp.Or(parts[1], "http")+"://"+parts[2], MaxURL)
}

// urls finds URLs, and paths with a query.
var urls = regexp.MustCompile(`(?:https?://|/)[^\s"'<>\x60]*`)

// URLs returns a text without the queries and users of the URLs in it: left stands in
// the place of a query.
func URLs(text, left string) string {
	if !strings.Contains(text, "?") && !strings.Contains(text, "@") {
		return text
	}
	return urls.ReplaceAllStringFunc(text, func(raw string) string { return RawURL(raw, left) })
}

// RawURL returns a URL as somebody wrote it, without user and query: left stands in the
// place of that, and an empty one for nothing.
func RawURL(raw, left string) string {
	before, query, found := strings.Cut(raw, "?")
	if u, err := url.Parse(before); err != nil {
		before = Address(before)
	} else if u.User != nil {
		u.User = nil
		before = u.String()
	}
	if found && query != "" && left != "" {
		before += "?" + left
	}
	return before
}
