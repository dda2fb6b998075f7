package imageservice

import (
	"os"
	"path/filepath"
	"testing"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// TestSuffixDirectoryIsNotOurs: what a directory for a domain serves is passed to
// containerd, unless every registry is pulled from here.
func TestSuffixDirectoryIsNotOurs(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"_.corp.test", "own.corp.test"} {
		must(t, os.Mkdir(filepath.Join(root, name), 0o755))
		must(t, os.WriteFile(filepath.Join(root, name, "hosts.toml"), []byte("system_roots = 'append'"), 0o600))
	}
	for image, ours := range map[string]bool{"own.corp.test/app:1": true, "registry.corp.test/app:1": false} {
		s := &server{hosts: &resolver.Hosts{Roots: certsd.Roots{root}, SuffixDirectories: true}}
		r, err := s.ours(&runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: image}})
		must(t, err)
		if (r != nil) != ours {
			t.Errorf("%s: ours is %t, want %t", image, r != nil, ours)
		}
	}
}
