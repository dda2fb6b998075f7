package check

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

// TestWhyDockerReachesIt holds that where Docker reaches a registry only because
// of its daemon.json that is said, with what hosts.toml says in its place, and
// that the latter works.
func TestWhyDockerReachesIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		plain bool
		// daemon is a daemon.json, found what is said of it.
		daemon, found string
		// hosts is the hosts.toml that is advised.
		hosts string
	}{
		{
			name: "a name", daemon: "{\n\"insecure-registries\": [\"REG\"]}",
			found: "warning docker-insecure ROOT/daemon.json:2: Docker reaches REG without verifying it: insecure-registries has REG -> fix its certificate, or the CA root here; " +
				`to verify nothing, as Docker does, write server = "https://REG" and skip_verify = true at the top into ROOT/REG_/hosts.toml`,
			hosts: "server = 'https://REG'\nskip_verify = true\n",
		},
		{
			name: "a range", daemon: `{"insecure-registries": ["10.0.0.0/8", "126.0.0.0/7"]}`,
			found: "warning docker-insecure ROOT/daemon.json:1: Docker reaches REG without verifying it: insecure-registries has 126.0.0.0/7 -> fix its certificate, or the CA root here; " +
				`to verify nothing, as Docker does, write server = "https://REG" and skip_verify = true at the top into ROOT/REG_/hosts.toml`,
		},
		{
			name: "plain HTTP", plain: true, daemon: `{"insecure-registries": ["REG"]}`,
			found: "warning docker-insecure ROOT/daemon.json:1: Docker reaches REG in plain HTTP: insecure-registries has REG -> " +
				`write server = "http://REG" at the top into ROOT/REG_/hosts.toml, without ca and client`,
			hosts: "server = 'http://REG'\n",
		},
		{name: "another one", daemon: `{"insecure-registries": ["reg.test", "10.0.0.0/8"]}`},
		{name: "nothing", daemon: `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reg, root := server{auth: tls.RequestClientCert, plain: tt.plain}.start(t), t.TempDir()
			write(t, root, of(reg, files{"ca": otherCA}))
			write(t, root, files{"daemon.json": strings.ReplaceAll(tt.daemon, "REG", reg)})
			c := &Checker{DockerConfig: filepath.Join(root, "daemon.json")}
			var found strings.Builder
			for _, line := range lines(run1(t, c, root, reg), root, map[string]string{"REG": reg}) {
				if strings.Contains(line, "docker-") {
					found.WriteString(line)
				}
			}
			if found.String() != tt.found {
				t.Errorf("it says\n%s\nwant\n%s", found.String(), tt.found)
			}
			if tt.hosts == "" {
				return
			}
			other := t.TempDir()
			write(t, other, of(reg, files{"hosts.toml": strings.ReplaceAll(tt.hosts, "REG", reg)}))
			r := run1(t, &Checker{DockerConfig: c.DockerConfig}, other, reg)
			if r.Verdict != Works {
				t.Errorf("with what is advised: %q", lines(r, other, nil))
			}
		})
	}
}

// TestDockersMirror holds that a mirror which only Docker knows is told where a
// pull does not work without it.
func TestDockersMirror(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	daemon := filepath.Join(root, "daemon.json")
	write(t, root, files{"daemon.json": `{"registry-mirrors": ["https://mirror.test:5000/hub/"], "insecure-registries": ["mirror.test:5000"]}`})
	mirrors := func(target string) (found []string) {
		t.Helper()
		r := run1(t, &Checker{DockerConfig: daemon, Offline: true}, root, target)
		for _, f := range r.Findings {
			if f.Code == DockerMirror {
				found = append(found, strings.ReplaceAll(f.Where+": "+f.Message+" -> "+f.Next, root, "ROOT"))
			}
		}
		return found
	}
	compare(t, []string{
		"ROOT/daemon.json:1: registry-mirrors has Docker ask the mirror https://mirror.test:5000/hub before docker.io, and nothing here does -> " +
			`write [host."https://mirror.test:5000/hub"] and capabilities = ["pull", "resolve"] into ROOT/docker.io/hosts.toml, or: ` +
			"certsd migrate --config ROOT/daemon.json --output ROOT --write",
	}, mirrors("docker.io"))
	compare(t, nil, mirrors("reg.test"))
	write(t, root, files{"docker.io/hosts.toml": "[host.'https://mirror.test:5000/hub']\n"})
	compare(t, nil, mirrors("docker.io"))
}

// TestDockersConfigurationIsWrong holds that one which cannot be read is told, and
// that none is nothing to speak of.
func TestDockersConfigurationIsWrong(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, files{"daemon.json": "{\n  oops"})
	file := filepath.Join(root, "daemon.json")
	found := (&Checker{Roots: certsd.Roots{root}, DockerConfig: file}).Containerd()
	if len(found) != 1 || found[0].Code != DockerConfig || !strings.Contains(found[0].Message, file+":2: ") || strings.Contains(found[0].Message, "invalid character") {
		t.Errorf("it finds %+v", found)
	}
	if found := (&Checker{Roots: certsd.Roots{root}, DockerConfig: root + "/none"}).Containerd(); len(found) > 0 {
		t.Errorf("it finds %+v", found)
	}
}
