// Package registrytest reaches the in-process registry that a test's server guards:
// images get into it without a client certificate.
package registrytest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// Tag returns a tag, such as "team/app:1", at a server in plain HTTP that serves
// images until the test ends.
func Tag(tb testing.TB, images http.Handler, tag string) name.Tag {
	tb.Helper()
	server := httptest.NewServer(images)
	tb.Cleanup(server.Close)
	t, err := name.NewTag(strings.TrimPrefix(server.URL, "http://")+"/"+tag, name.Insecure)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
