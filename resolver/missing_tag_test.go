package resolver_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestMissingTag: where the registry shows that a repository is there, it is the
// tag that is told to be missing, and what clients ask for in vain all the time
// costs no request more.
func TestMissingTag(t *testing.T) {
	t.Parallel()
	fallback := "sha256-" + strings.Repeat("a", 64)
	for name, tt := range map[string]struct {
		ref     string
		options resolver.Options
		guard   func(w http.ResponseWriter, r *http.Request, client string) bool
		told    bool
		lists   int
	}{
		"a tag":                   {ref: "team/app:2", told: true, lists: 1},
		"a repository":            {ref: "team/other:1"},
		"a digest":                {ref: "team/app@sha256:" + strings.Repeat("a", 64)},
		"what refers to an image": {ref: "team/app:" + fallback},
		"a signature":             {ref: "team/app:" + fallback + ".sig"},
		"for who pushes":          {ref: "team/app:2", options: resolver.Options{V2Only: true}},
		"a list that is refused": {ref: "team/app:2", lists: 1, guard: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if strings.HasSuffix(r.URL.Path, "/tags/list") {
				w.WriteHeader(http.StatusForbidden)
				return true
			}
			return false
		}},
		"a list of nothing": {ref: "team/app:2", lists: 1, guard: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if strings.HasSuffix(r.URL.Path, "/tags/list") {
				_, _ = w.Write([]byte(`{"name":"team/app","tags":null}`))
				return true
			}
			return false
		}},
		"a plain 404": {ref: "team/app:2", guard: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if strings.Contains(r.URL.Path, "/manifests/") {
				http.NotFound(w, r)
				return true
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRegistry(t, nil)
			r.Push(t, "team/app:1", 1)
			root := t.TempDir()
			r.Dir(t, root, "bravo")
			if tt.guard != nil {
				r.Guard(tt.guard)
			}
			tt.options.Hosts = newHosts(t, root)
			r.Calls()
			ref := r.Host + "/" + tt.ref
			_, _, err := resolver.New(tt.options).Resolve(t.Context(), ref)
			if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "not found") {
				t.Fatal(err)
			}
			want := ref + `: the repository is there, but has no tag "2": name another tag: not found` + "\n"
			if told := strings.HasPrefix(err.Error(), want); told != tt.told || !tt.told && strings.Contains(err.Error(), "is there") {
				t.Errorf("it says %q", err)
			}
			lists := 0
			for _, c := range r.Calls() {
				if strings.Contains(c.Path, "/tags/list") {
					lists++
				}
			}
			if lists != tt.lists || strings.Contains(err.Error(), "tags/list") {
				t.Errorf("%d lists: %v", lists, err)
			}
		})
	}
}
