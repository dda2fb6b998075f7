package check

import (
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
)

// TestImportsOfContainerd holds that what a drop-in says counts, and that it is
// told where it stands.
func TestImportsOfContainerd(t *testing.T) {
	t.Parallel()
	const disabled = "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local']\nimports = ['conf.d/*.toml']\n"
	for _, tt := range []struct {
		name string
		in   files
		want []string
	}{
		{
			name: "discard_unpacked_layers and the rest of disabled_plugins",
			in: files{
				"config.toml":    disabled,
				"conf.d/1.toml":  "disabled_plugins = ['io.containerd.grpc.v1.transfer']\n[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n",
				"conf.d/not.txt": "[",
			},
			want: []string{`warning cri-pulls-itself DIR/conf.d/1.toml: CRI pulls by itself, without certsd, because of discard_unpacked_layers -> remove from [plugins."io.containerd.cri.v1.images"]: discard_unpacked_layers`},
		},
		{
			name: "a later file over an earlier one, and one that imports the first",
			in: files{
				"config.toml":   disabled + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/x'\n",
				"conf.d/1.toml": "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/y'\n",
				"conf.d/2.toml": "imports = ['../config.toml']\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/c'\n",
			},
			want: []string{"warning other-roots DIR/conf.d/2.toml: config_path is /c, but /a is checked -> certsd check --all --root /c"},
		},
		{
			name: "a file that is not there",
			in:   files{"config.toml": "imports = ['none.toml']\n"},
			want: []string{"warning containerd-config DIR/none.toml: is imported by DIR/config.toml, and cannot be read: no such file or directory: containerd does not start -> put it there, or remove it from imports"},
		},
		{
			name: "an import that is no TOML",
			in:   files{"config.toml": disabled, "conf.d/1.toml": "version = 3\nx = \n"},
			want: []string{"warning containerd-config DIR/conf.d/1.toml:2: is not a valid configuration of containerd: "},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, tt.in)
			c := &Checker{Roots: certsd.Roots{"/a"}, Config: dir + "/config.toml"}
			var got []string
			for _, f := range c.Containerd() {
				got = append(got, strings.ReplaceAll(f.Severity+" "+string(f.Code)+" "+f.Where+": "+f.Message+" -> "+f.Next, dir, "DIR"))
			}
			if len(got) != len(tt.want) {
				t.Fatalf("findings: %q, want: %q", got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got:  %s\nwant: %s", got[i], want)
				}
			}
		})
	}
}
