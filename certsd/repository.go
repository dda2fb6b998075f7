package certsd

import (
	"context"
	"net/http"
	"strings"
)

type repositoryKey struct{}

// WithRepository tells the requests made with the context which repository they
// are for. It is needed where the path does not say: /v1/images/… and requests
// to token servers.
func WithRepository(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, repositoryKey{}, name)
}

// maxRepository bounds the name under which an identity is remembered; the
// distribution specification allows 255 bytes.
const maxRepository = 512

// repositoryOf returns the repository a request is for, empty if unknown. root
// is the API root of the endpoint.
func repositoryOf(req *http.Request, root string) string {
	name := repositoryIn(req.URL.Path, root)
	if name == "" {
		name, _ = req.Context().Value(repositoryKey{}).(string)
		if strings.HasPrefix(req.URL.Path, "/v1/") {
			name = strings.TrimPrefix(name, "library/")
		}
	}
	if len(name) > maxRepository {
		return ""
	}
	return name
}

func repositoryIn(path, root string) string {
	if rest, ok := strings.CutPrefix(path, "/v1/repositories/"); ok {
		// An index is asked for a name of one component as it is, the tags are
		// under library/: they are one repository.
		if name := before(rest, "/tags/"); name != "" {
			return strings.TrimPrefix(name, "library/")
		}
		return strings.TrimPrefix(before(rest+"/", "/tags/", "/images/", "/json/"), "library/")
	}
	for _, root := range []string{strings.TrimSuffix(root, "/"), "/v2"} {
		if rest, ok := strings.CutPrefix(path, root+"/"); ok && root != "" {
			return before(rest, "/manifests/", "/blobs/", "/tags/", "/referrers/")
		}
	}
	return ""
}

// before returns what stands before the last of the marks, empty if there is
// none: a name may have components of the same words.
func before(path string, marks ...string) string {
	end := -1
	for _, mark := range marks {
		end = max(end, strings.LastIndex(path, mark))
	}
	if end < 0 {
		return ""
	}
	return path[:end]
}
