package gatewayconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// TestWriteNothingIntoDirectoriesOfOthers writes as root where another user
// decides what a name leads to.
func TestWriteNothingIntoDirectoriesOfOthers(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		citest.Missing(t, "only root gives files away")
	}
	files := []File{{Path: "registry.example/hosts.toml", Text: "x", Secret: true}}
	for _, foreign := range []string{"", "registry.example"} {
		dir := t.TempDir()
		path := filepath.Join(dir, foreign)
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		var e *safepath.Error
		if !errors.As(Write(dir, files), &e) || e.Path != path {
			t.Errorf("%q: %v", foreign, e)
		}
		if _, err := os.Stat(filepath.Join(dir, "registry.example", "hosts.toml")); err == nil {
			t.Error("it was written")
		}
	}
}

// TestPipesAreNotReadFrom looks at a directory in which a hosts.toml is a pipe.
func TestPipesAreNotReadFrom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "a.example"), 0o755), syscall.Mkfifo(filepath.Join(dir, "a.example", "hosts.toml"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if left, err := Leftovers(dir, nil); len(left) > 0 || err != nil {
		t.Errorf("%v %v", left, err)
	}
	if err := Write(dir, []File{{Path: "a.example/hosts.toml"}}); err == nil {
		t.Error("a pipe was replaced")
	}
}

// ours is what may be replaced.
var ours = regexp.MustCompile(`^{"auths":{"[^"]*":{"auth":"[^"]*"}}}$`)

// FuzzOnlyOurs finds files that are taken for a gateway's credentials, and may
// be replaced, though they hold something else.
func FuzzOnlyOurs(f *testing.F) {
	for _, text := range []string{
		`{"auths":{"127.0.0.1:5999":{"auth":"Y2VydHNkOm5ldw=="}}}`, `{"auths":{"h":{"auth":"eDp5"}}}`,
		`{"auths":{"h":{"auth":"Y2VydHNkOm5ldw=="}},"credsStore":"x"}`, `{"auths":{"h":{"auth":"Y2VydHNkOm5ldw=="}}}{"auths":{"h":{}}}`,
		`{"auths":{"h":{"auth":"Y2VydHNkOm5ldw==","auth":"eDp5"}}}`, `{"AUTHS":{"h":{"auth":"Y2VydHNkOm5ldw=="}}}`, `{`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !onlyOurs(text) {
			return
		}
		var b bytes.Buffer
		if err := json.Compact(&b, text); err != nil || !bytes.Contains(text, []byte(`\`)) && !ours.Match(b.Bytes()) {
			t.Errorf("%s would be lost (%v)", text, err)
		}
	})
}
