// Package statuspage serves a [status.Status] by HTTP: as JSON at /status.json and
// as a page at /status, which is complete without scripts. statuspage.go answers
// requests, page.go makes the page, timeline.go its picture, assets.go has its files.
package statuspage

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
)

// The paths that are served.
const (
	PathJSON = "/status.json"
	PathPage = "/status"
)

// Handler serves the status of a daemon. Whoever serves it decides who may read it;
// it only keeps other pages of a browser out.
type Handler struct {
	// Snapshot says what is in use now.
	Snapshot func() *status.Status
}

// Paths are all that the handler serves.
var Paths = []string{PathJSON, PathPage, pathScript, pathStyle}

// Serves reports whether a path is one of the handler's.
func Serves(path string) bool { return slices.Contains(Paths, path) }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if foreign(r) {
		http.Error(w, "the status is not for other pages", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the status can only be read", http.StatusMethodNotAllowed)
		return
	}
	switch r.URL.Path {
	case PathJSON:
		serveJSON(w, h.Snapshot())
	case PathPage:
		h.servePage(w, r)
	case pathScript, pathStyle:
		serveAsset(w, r.URL.Path)
	default:
		http.NotFound(w, r)
	}
}

// serveJSON answers with the document. It is made whole before a byte is sent.
func serveJSON(w http.ResponseWriter, st *status.Status) {
	text, err := json.Marshal(st)
	if err != nil {
		http.Error(w, "the status cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(safetext.InertJSON(text), '\n')) // the client may have gone
}

// protect sets what keeps a browser from giving the page to others.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// foreign reports whether a browser asks on behalf of another page. To follow a link
// here is allowed: that page sees nothing of it.
func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || u.Host != r.Host {
			return true
		}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "" || site == "same-origin" || site == "none" {
		return false
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// KnowsName reports whether the name that a request is for can be no other's: a page
// whose name was made to point here says its own ("DNS rebinding"). Addresses, the
// names of the loopback interface and those given are known.
func KnowsName(r *http.Request, names ...string) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); r.TLS != nil || ok && local.Network() == "unix" {
		return true
	}
	name := r.Host
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	for _, known := range names {
		if strings.EqualFold(name, known) {
			return true
		}
	}
	return false
}
