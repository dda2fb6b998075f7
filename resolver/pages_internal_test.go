package resolver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
)

// TestListsThatGoOnForEver end by their pages, their bytes or their time,
// whichever comes first.
func TestListsThatGoOnForEver(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", fmt.Sprintf(`<?last=%sx>; rel="next"`, r.URL.Query().Get("last")))
		_, _ = w.Write([]byte(`{"name":"app","tags":[]}`))
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	spec, err := reference.Parse(host + "/app:1")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{RegistryHost: docker.RegistryHost{Client: srv.Client(), Host: host, Scheme: "http", Path: "/v2"}, spec: spec}
	for want, l := range map[string]*list{
		"on more than 5 pages":       {maxPages: 5, maxBytes: 1 << 20, maxTime: time.Hour},
		"in more than 100 bytes":     {maxPages: 100, maxBytes: 100, maxTime: time.Hour},
		"was not complete after 1ns": {maxPages: 100, maxBytes: 1 << 20, maxTime: time.Nanosecond},
	} {
		l.what, l.first = "tags", question{elements: []string{"app", "tags", "list"}}
		pages := 0
		err := e.read(t.Context(), l, func(*answer) error { pages++; return nil })
		if err == nil || !strings.Contains(err.Error(), want) || pages > 5 {
			t.Errorf("%s: %v after %d pages", want, err, pages)
		}
	}
}

// TestListsOfManyNothings are not unpacked: each entry takes more memory than it
// has bytes.
func TestListsOfManyNothings(t *testing.T) {
	t.Parallel()
	tags := `{"name":"app","tags":[""` + strings.Repeat(`,""`, 2*maxTags) + `]}`
	if _, err := tagsIn([]byte(tags)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("tags: %v", err)
	}
	referrers := `{"schemaVersion":2,"manifests":[{}` + strings.Repeat(`,{}`, 1<<20) + `]}`
	if _, err := referrersIn([]byte(referrers)); err == nil || !strings.Contains(err.Error(), "more parts") {
		t.Errorf("referrers: %v", err)
	}
}
