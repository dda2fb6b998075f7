// Package statuspage serves a [status.Status] over HTTP: as JSON at /status.json and as
// a page at /status, which is complete without scripts. statuspage.go answers requests,
// page.go makes the page, timeline.go its picture, assets.go holds its files.
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

// Handler serves the status of a daemon. The server decides who may read it; the
// Handler only refuses requests made by other pages in a browser.
type Handler struct {
	// Snapshot returns the present status.
	Snapshot func() *status.Status
}

// Paths are all paths that the handler serves.
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

// serveJSON serves the document. It encodes it completely before sending a byte.
func serveJSON(w http.ResponseWriter, st *status.Status) {
	text, err := json.Marshal(st)
	if err != nil {
		http.Error(w, "the status cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(safetext.InertJSON(text), '\n')) // the client may have gone
}

// protect sets the headers that keep a browser from giving the page to other sites.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "+
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// foreign reports whether a browser asks on behalf of another page. Following a link
// here is allowed: the other page cannot read the answer.
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

// KnowsName reports whether a request is for a name that no other site can have: a site
// whose name was made to point here ("DNS rebinding") sends its own name. Addresses,
// localhost and the names given are known.
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
