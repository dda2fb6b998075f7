//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	artifactType = "application/vnd.oci.image.manifest.v1+json"
	// pagedReferrers is how many refer to the image of the repository paged, and
	// pageOfReferrers how many are in one answer.
	pagedReferrers, pageOfReferrers = 5, 2
)

// paging adds the repository paged, whose image has more that refers to it than
// its list tells at a time.
func paging(mux *http.ServeMux) {
	mux.HandleFunc("/v2/paged/", func(w http.ResponseWriter, r *http.Request) {
		if _, subject, isList := strings.Cut(r.URL.Path, "/referrers/"); isList {
			listReferrers(w, r, subject)
			return
		}
		object := digest.Digest(r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		if object == digest.FromString("{}") {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("{}"))
			return
		}
		for _, referrer := range referrersTo(imageDigest("paged")) {
			if digest.FromBytes(referrer) == object {
				w.Header().Set("Content-Type", artifactType)
				w.Header().Set("Docker-Content-Digest", object.String())
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(referrer))
				return
			}
		}
		image(w, r, "paged", func(layer []byte) { http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(layer)) })
	})
}

// listReferrers answers with one part of a list, and where the next one is.
func listReferrers(w http.ResponseWriter, r *http.Request, subject string) {
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	all := referrersTo(digest.Digest(subject))
	if subject != imageDigest("paged").String() {
		all = nil
	}
	first := min(page*pageOfReferrers, len(all))
	last := min(first+pageOfReferrers, len(all))
	list := []any{}
	for _, referrer := range all[first:last] {
		list = append(list, map[string]any{"mediaType": artifactType, "digest": digest.FromBytes(referrer), "size": len(referrer), "artifactType": "example/note"})
	}
	if last < len(all) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=%d>; rel="next"`, r.URL.Path, page+1))
	}
	w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list})
}

// referrersTo are artifacts that refer to a manifest.
func referrersTo(subject digest.Digest) [][]byte {
	empty := map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest.FromString("{}"), "size": 2}
	var all [][]byte
	for i := range pagedReferrers {
		referrer, _ := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": artifactType, "artifactType": "example/note", "config": empty, "layers": []any{empty},
			"subject":     map[string]any{"mediaType": artifactType, "digest": subject, "size": len(imageManifest("paged"))},
			"annotations": map[string]string{"number": strconv.Itoa(i)},
		})
		all = append(all, referrer)
	}
	return all
}

func imageDigest(name string) digest.Digest { return digest.FromBytes(imageManifest(name)) }
