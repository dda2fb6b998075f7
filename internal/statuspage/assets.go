package statuspage

import (
	"embed"
	"net/http"
)

// The paths of the files that the page loads.
const (
	pathScript = "/status.js"
	pathStyle  = "/status.css"
)

//go:embed page.html.tmpl status.js status.css
var assets embed.FS

// contentTypes holds the media types of the files.
var contentTypes = map[string]string{pathScript: "text/javascript; charset=utf-8", pathStyle: "text/css; charset=utf-8"}

// serveAsset serves a file of the page.
func serveAsset(w http.ResponseWriter, path string) {
	text, err := assets.ReadFile(path[1:])
	if err != nil {
		http.Error(w, "not there", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", contentTypes[path])
	_, _ = w.Write(text) //nolint:gosec // it is a file of this program
}
