//go:build linux

package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// deceiving adds repositories whose content is not what is said of it, or that
// lead to where nobody asked to go: first, a schema 1 image that only the
// server at port 5002 gives; long, whose layer is longer than it says; flaky,
// whose layer breaks off and is refused once; escapes, with control characters
// for a platform; and lead/NAME, redirected to a service of this machine.
func deceiving(mux *http.ServeMux, address string) {
	mux.HandleFunc("/v2/first/app/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(address, ":5002") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		oldImage(w, r, "first/app", func(layer []byte) { http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(layer)) })
	})
	mux.HandleFunc("/v2/long/app/", func(w http.ResponseWriter, r *http.Request) {
		oldImage(w, r, "long/app", func(layer []byte) {
			said := layer
			if r.Method == http.MethodGet {
				said = append(bytes.Clone(layer), "and more"...)
			}
			w.Header().Set("Content-Length", strconv.Itoa(len(said)))
			_, _ = w.Write(said)
		})
	})
	var mu sync.Mutex
	asked := 0
	mux.HandleFunc("/v2/flaky/", func(w http.ResponseWriter, r *http.Request) {
		image(w, r, "flaky", func(layer []byte) {
			mu.Lock()
			if r.Method == http.MethodGet {
				asked++
			}
			n := asked
			mu.Unlock()
			switch {
			case r.Method == http.MethodGet && n == 1:
				w.Header().Set("Content-Length", strconv.Itoa(len(layer)))
				_, _ = w.Write(layer[:len(layer)/2])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			case r.Method == http.MethodGet && n == 2:
				fmt.Println("busy:", r.Header.Get("Range"))
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(layer))
			}
		})
	})
	mux.HandleFunc("/v2/escapes/", func(w http.ResponseWriter, r *http.Request) {
		index := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:` +
			strings.Repeat("0", 64) + `","size":2,"platform":{"os":"li\u001b]0;owned\u0007\u001b[31m","architecture":"\u202e\u001b[31m"}}]}`)
		if !strings.Contains(r.URL.Path, "/manifests/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(index).String())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(index))
	})
	for name, to := range map[string]string{"own4": "10.9.9.9", "own6": "[fd00:9::9]", "meta4": "169.254.169.254", "meta6": "[fd00:ec2::254]"} {
		mux.HandleFunc("/v2/lead/"+name+"/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://"+to+"/latest/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			fmt.Println("led to", name)
		})
	}
	mux.HandleFunc("/latest/", func(http.ResponseWriter, *http.Request) { fmt.Println("was asked for credentials") })
}

// oldImage answers for a schema 1 image of one layer.
func oldImage(w http.ResponseWriter, r *http.Request, name string, serveLayer func([]byte)) {
	layer := layerOf(name)
	manifest := fmt.Appendf(nil, `{"schemaVersion":1,"name":%q,"tag":"1","architecture":"amd64","fsLayers":[{"blobSum":%q}],"history":[{"v1Compatibility":"{\"id\":\"%s\",\"architecture\":\"amd64\",\"os\":\"linux\"}"}]}`,
		name, digest.FromBytes(layer), strings.Repeat("a", 64))
	own := digest.FromBytes(manifest).String()
	switch {
	case strings.HasSuffix(r.URL.Path, "/manifests/1"), strings.HasSuffix(r.URL.Path, "/manifests/"+own):
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", own)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(manifest))
		fmt.Println("schema 1 digest of", name, "is", own)
	case strings.HasSuffix(r.URL.Path, "/blobs/"+digest.FromBytes(layer).String()):
		serveLayer(layer)
	default:
		http.NotFound(w, r)
	}
}
