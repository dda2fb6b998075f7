package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// TestDaemonsAreAsked: what they have in memory, or another way to the server, is in
// no file.
func TestDaemonsAreAsked(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "reg.test")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pair := certtest.NewCA("clients").Client("alpha")
	if err := pair.Write(dir, "alpha"); err != nil {
		t.Fatal(err)
	}
	cert := &inuse.Certificate{Subject: "CN=before", Serial: "0A", NotAfter: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC)}
	same := &inuse.Certificate{Serial: inuse.Serial(pair.Cert)}
	// The daemon may have other roots than this command.
	elsewhere := filepath.Join(t.TempDir(), "reg.test")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(elsewhere, "alpha"); err != nil {
		t.Fatal(err)
	}
	daemon := func(change func(*inuse.Registry)) []Daemon {
		reg := inuse.Registry{Name: "reg.test", Endpoints: []inuse.Endpoint{{
			URL: "https://reg.test/v2", Host: "reg.test", Identities: []inuse.Identity{{Name: "alpha.cert", File: filepath.Join(dir, "alpha.cert"), Certificate: same}},
		}}}
		change(&reg)
		return []Daemon{{Kind: inuse.Plugin, Status: &inuse.Status{Daemon: inuse.Plugin, Registries: []inuse.Registry{reg}}}}
	}
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		daemons []Daemon
		// want is a finding, way what the reason of ctr's way has.
		want, way string
	}{
		"the same": {daemons: daemon(func(*inuse.Registry) {})},
		"another file": {
			daemons: daemon(func(r *inuse.Registry) { r.Endpoints[0].Identities[0].Certificate = cert }),
			want:    "daemon-other-file " + filepath.Join(dir, "alpha.cert") + ": containerd with the plugin uses another certificate than the file holds now: CN=before, serial 0A, until 2027-01-02",
		},
		"a file in another root": {
			daemons: daemon(func(r *inuse.Registry) { r.Endpoints[0].Identities[0].File = filepath.Join(elsewhere, "alpha.cert") }),
		},
		"another one in another root": {
			daemons: daemon(func(r *inuse.Registry) {
				r.Endpoints[0].Identities[0] = inuse.Identity{File: filepath.Join(elsewhere, "alpha.cert"), Certificate: cert}
			}),
			want: "daemon-other-file " + filepath.Join(elsewhere, "alpha.cert") + ": containerd with the plugin uses another certificate",
		},
		"from memory": {
			daemons: daemon(func(r *inuse.Registry) {
				r.Endpoints[0].Identities[0].Certificate = cert
				r.Memory = &inuse.Memory{Since: time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC), Cause: "alpha.key: no PEM"}
			}),
			want: "from memory, because the files are broken since 2026-11-27 08:00 UTC: alpha.key: no PEM",
			way:  "containerd with the plugin uses what it read before the files were broken",
		},
		"a proxy": {
			daemons: daemon(func(r *inuse.Registry) { r.Endpoints[0].Proxy = "http://proxy.test:3128" }),
			want:    "daemon-proxy reg.test: containerd with the plugin goes through the proxy http://proxy.test:3128, and this command goes straight there",
		},
		"nothing": {
			daemons: daemon(func(r *inuse.Registry) { r.Error, r.Endpoints = "hosts.toml:1: no", nil }),
			want:    "daemon-unusable containerd with the plugin: cannot use any configuration for this registry: hosts.toml:1: no",
			way:     "containerd with the plugin cannot use any configuration for this registry",
		},
		"a stock one that was not restarted": {daemons: []Daemon{{Kind: inuse.Plugin, Why: "this containerd is a stock one"}}, way: "; but this containerd is a stock one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Checker{Roots: certsd.Roots{root}, Config: config, ImageService: "/none", Offline: true, Daemons: tt.daemons}
			r, err := c.Registry(t.Context(), "reg.test")
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, f := range r.Findings {
				if strings.HasPrefix(string(f.Code), "daemon-") {
					said = append(said, string(f.Code)+" "+f.Where+": "+f.Message)
				}
			}
			if text := strings.Join(said, "\n"); tt.want == "" && text != "" || !strings.Contains(text, tt.want) {
				t.Errorf("found %q, want %q", text, tt.want)
			}
			if r.Ways[0].Way != WayCtr || !strings.Contains(r.Ways[0].Reason, tt.way) {
				t.Errorf("ways %+v, want %q", r.Ways, tt.way)
			}
		})
	}
}
