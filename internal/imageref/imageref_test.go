package imageref

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/reference"
)

const aDigest = "sha256:4f4fb700ef54461cfa02571ae0db9a0dc1e0cdb5577484a6d75e68dc38e8acc1"

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, want string
		base     string
	}{
		{"busybox", "docker.io/library/busybox:latest", "busybox"},
		{"busybox:1.36", "docker.io/library/busybox:1.36", "busybox"},
		{"someone/busybox", "docker.io/someone/busybox:latest", "busybox"},
		{"docker.io/busybox", "docker.io/library/busybox:latest", "busybox"},
		{"index.docker.io/busybox", "docker.io/library/busybox:latest", "busybox"},
		{"localhost/busybox", "localhost/busybox:latest", "busybox"},
		{"localhost:5000/busybox", "localhost:5000/busybox:latest", "busybox"},
		{"localhost:5000", "docker.io/library/localhost:5000", "localhost"},
		{"registry.test/team/app/server:2.0", "registry.test/team/app/server:2.0", "server"},
		{"registry.test:5000/app", "registry.test:5000/app:latest", "app"},
		{"REGISTRY/app", "REGISTRY/app:latest", "app"},
		{"[2001:db8::1]:5000/app:1", "[2001:db8::1]:5000/app:1", "app"},
		{"registry.test./app", "registry.test./app:latest", "app"},
		{"Registry.Test.:005000/app:1", "Registry.Test.:005000/app:1", "app"},
		{"[::ffff:127.0.0.1]:5000/app:1", "[::ffff:127.0.0.1]:5000/app:1", "app"},
		{"[0:0:0:0:0:FFFF:127.0.0.1]/app@" + aDigest, "[0:0:0:0:0:FFFF:127.0.0.1]/app@" + aDigest, "app"},
		{"registry.test/app@" + aDigest, "registry.test/app@" + aDigest, "app"},
		{"registry.test/app:1@" + aDigest, "registry.test/app:1@" + aDigest, "app"},
	} {
		got, err := Parse(tt.in)
		if err != nil || got.String() != tt.want || got.Base() != tt.base {
			t.Errorf("Parse(%q) = %q, base %q, %v; want %q, base %q", tt.in, got, got.Base(), err, tt.want, tt.base)
		}
	}
}

func TestParseRepository(t *testing.T) {
	t.Parallel()
	got, err := ParseRepository("registry.test/app")
	if want := (Ref{Host: "registry.test", Repository: "app"}); got != want || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := got.WithTag("1").String(); got != "registry.test/app:1" {
		t.Errorf("with a tag it is %q", got)
	}
	if got := got.WithTag("1").WithDigest(aDigest).String(); got != "registry.test/app:1@"+aDigest {
		t.Errorf("with a digest it is %q", got)
	}
}

func TestErrorsSayHowItShouldBe(t *testing.T) {
	t.Parallel()
	whole := func(s string) error { _, err := Parse(s); return err }
	repository := func(s string) error { _, err := ParseRepository(s); return err }
	for _, tt := range []struct {
		in, want string
		parse    func(string) error
	}{
		{"", `"" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"Busybox", `"Busybox" is not an image reference: repository name (library/Busybox) must be lowercase: repositories are in lower case, only hosts and tags may have capitals`, whole},
		{"https://registry.test/app", `"https://registry.test/app" is not an image reference: invalid reference format: leave out https://`, whole},
		{"registry.test/app:", `"registry.test/app:" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"registry.test/../app", `"registry.test/../app" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"registry.test/app@sha256:1234", `"registry.test/app@sha256:1234" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"registry.test./App", `"registry.test./App" is not an image reference: repository name (App) must be lowercase: repositories are in lower case, only hosts and tags may have capitals`, whole},
		{"registry.test../app", `"registry.test../app" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"[::x]:5000/app", `"[::x]:5000/app" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"[00]:5000/app", `"[00]:5000/app" is not an image reference: "[00]:5000" is not a host: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`, whole},
		{"registry.test/app:1", `"registry.test/app:1" is not an image reference: give a repository, without tag and digest: write [HOST[:PORT]/]NAME`, repository},
	} {
		err := tt.parse(tt.in)
		if !errors.As(err, new(*Error)) || err.Error() != tt.want {
			t.Errorf("%q: %v\nwant %s", tt.in, err, tt.want)
		}
	}
}

// FuzzParse holds that what is accepted is understood alike a second time, and
// by containerd.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"busybox", "localhost:5000/a/b:1", "[::1]:5000/a@" + aDigest, "a:1@" + aDigest, "REG/x", "a//b", "https://a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again != r {
			t.Errorf("%q is %+v, then %+v, %v", s, r, again, err)
		}
		spec, err := reference.Parse(r.String())
		if err != nil || spec.String() != r.String() || !strings.HasPrefix(spec.Locator, r.Host+"/") {
			t.Errorf("%q is %q; containerd: %+v, %v", s, r, spec, err)
		}
		if base := r.Base(); base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\\\x00") {
			t.Errorf("%q has the base %q", s, base)
		}
	})
}
