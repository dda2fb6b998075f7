package safetext

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
)

// URL returns a URL that is safe to show, in one line: without user, query and
// fragment. Signed URLs have their signature in the query.
func URL(u *url.URL) string {
	return Line((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String(), MaxURL)
}

// Origin returns scheme and host of a URL: all that may be shown of a proxy.
func Origin(u *url.URL) string {
	return Line((&url.URL{Scheme: u.Scheme, Host: u.Host}).String(), MaxURL)
}

// Addresses with a user, and perhaps a password. If no @ comes before the first slash,
// text with a colon may be a user whose password contains the slash.
var (
	withUser   = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)?(?:[^/?#]*@|[^/?#:]*:/?[^/].*@)`)
	userInText = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s"'/?#]*@|[^\s"'/?#:]*:[^\s"']*@)|[^\s"'/?#]+@`)
	proxy      = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9+.-]*)://)?(?:.*@)?([^/?#]*)`)
)

// Address returns an address as somebody wrote it, without user and password.
func Address(address string) string { return withUser.ReplaceAllString(address, "${1}…@") }

// Addresses returns a text without the users and passwords of addresses in it, whose
// boundaries are unknown.
func Addresses(text string) string { return userInText.ReplaceAllString(text, "${1}…@") }

// Proxy returns scheme and host of a proxy's address as somebody wrote it; the default
// scheme is http.
func Proxy(address string) string {
	parts := proxy.FindStringSubmatch(address)
	return Line(cmp.Or(parts[1], "http")+"://"+parts[2], MaxURL)
}

// urls matches URLs and paths.
var urls = regexp.MustCompile(`(?:https?://|/)[^\s"'<>\x60]*`)

// URLs returns a text without the queries and users of the URLs in it; left replaces
// each query.
func URLs(text, left string) string {
	if !strings.Contains(text, "?") && !strings.Contains(text, "@") {
		return text
	}
	return urls.ReplaceAllStringFunc(text, func(raw string) string { return RawURL(raw, left) })
}

// RawURL returns a URL as somebody wrote it, without user and query; left replaces the
// query, unless it is empty.
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
