//go:build linux

package integration

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// stalling adds the repositories stall/NAME, of an OCI image each, and old/NAME,
// of a schema 1 image. Each sends its layer up to the middle when it is first
// asked for, and nothing more; the rest comes to whoever asks for that. What
// happens is printed.
func stalling(mux *http.ServeMux) {
	var mu sync.Mutex
	stalled := map[string]bool{}
	mux.HandleFunc("/v2/stall/", func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.URL.Path, "/v2/stall/")
		name, _, _ := strings.Cut(after, "/")
		image(w, r, name, func(layer []byte) { stall(w, r, layer, &mu, stalled) })
	})
	mux.HandleFunc("/v2/old/", func(w http.ResponseWriter, r *http.Request) {
		_, after, _ := strings.Cut(r.URL.Path, "/v2/old/")
		name, object, _ := strings.Cut(after, "/")
		layer := layerOf("old " + name)
		if strings.HasPrefix(object, "blobs/") {
			stall(w, r, layer, &mu, stalled)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
		_, _ = fmt.Fprintf(w, `{"schemaVersion":1,"name":"old/%s","tag":"1","architecture":"amd64","fsLayers":[{"blobSum":%q}],"history":[{"v1Compatibility":"{\"id\":\"%s\",\"architecture\":\"amd64\",\"os\":\"linux\"}"}]}`,
			name, digest.FromBytes(layer), strings.Repeat("a", 64))
	})
}

// stall sends half of a layer once.
func stall(w http.ResponseWriter, r *http.Request, layer []byte, mu *sync.Mutex, stalled map[string]bool) {
	mu.Lock()
	first := r.Method == http.MethodGet && !stalled[r.URL.Path]
	stalled[r.URL.Path] = stalled[r.URL.Path] || first
	mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	if !first {
		if r.Method == http.MethodGet {
			fmt.Printf("went on: %s %s\n", r.URL.Path, r.Header.Get("Range"))
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(layer))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(layer)))
	_, _ = w.Write(layer[:len(layer)/2])
	_ = http.NewResponseController(w).Flush()
	fmt.Printf("stalled: %s\n", r.URL.Path)
	<-r.Context().Done()
}

// image answers for an OCI image of one layer.
func image(w http.ResponseWriter, r *http.Request, name string, serveLayer func([]byte)) {
	layer := layerOf(name)
	config := configOf(layer)
	manifest := imageManifest(name)
	switch {
	case strings.Contains(r.URL.Path, "/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(manifest).String())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(manifest))
	case strings.HasSuffix(r.URL.Path, digest.FromBytes(config).String()):
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(config))
	case strings.HasSuffix(r.URL.Path, digest.FromBytes(layer).String()):
		serveLayer(layer)
	default:
		http.NotFound(w, r)
	}
}

// configOf is the configuration of an image of one layer.
func configOf(layer []byte) []byte {
	return fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(layer))
}

// imageManifest is the manifest of an OCI image of one layer.
func imageManifest(name string) []byte {
	layer := layerOf(name)
	described := func(mediaType string, b []byte) map[string]any {
		return map[string]any{"mediaType": mediaType, "digest": digest.FromBytes(b), "size": len(b)}
	}
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": described("application/vnd.oci.image.config.v1+json", configOf(layer)),
		"layers": []any{described("application/vnd.oci.image.layer.v1.tar", layer)},
	})
	return manifest
}

// layerOf is a layer with one file of a megabyte.
func layerOf(name string) []byte {
	var b bytes.Buffer
	content := bytes.Repeat([]byte(name+"\n"), (1<<20)/(len(name)+1))
	t := tar.NewWriter(&b)
	_ = t.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))})
	_, _ = t.Write(content)
	_ = t.Close()
	return b.Bytes()
}

// echoing adds repositories that send back, in reason phrase and message, what
// they were sent, with escapes for terminals: echo, with a token, and deny,
// whose token server does so.
func echoing(mux *http.ServeMux, address string) {
	mux.HandleFunc("/v2/echo/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("Set-Cookie", "id=cookie-s3cret")
			challenge(w, address, "token")
			return
		}
		echo(w, r)
	})
	mux.HandleFunc("/v2/deny/", func(w http.ResponseWriter, _ *http.Request) { challenge(w, address, "deny") })
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"token":"token-s3cret","access_token":"token-s3cret"}`))
	})
	mux.HandleFunc("/deny", echo)
}

func challenge(w http.ResponseWriter, address, realm string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/%s",service="s",scope="repository:echo:pull"`, address, realm))
	w.WriteHeader(http.StatusUnauthorized)
}

func echo(w http.ResponseWriter, r *http.Request) {
	said := []string{r.URL.RawQuery}
	for name, values := range r.Header {
		said = append(said, name+": "+strings.Join(values, " "))
	}
	if user, password, ok := r.BasicAuth(); ok {
		said = append(said, user, password)
	}
	_ = r.ParseForm()
	said = append(said, r.PostForm.Encode())
	text := strings.Join(said, " ")
	body, _ := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": "\x1b[2Jmessage " + text}}})
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "HTTP/1.1 403 \x1b[31mreason %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", text, len(body), body)
	fmt.Println("echoed", r.URL.Path, r.Method, strings.Contains(text, "s3cret"))
}
