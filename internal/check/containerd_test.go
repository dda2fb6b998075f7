package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/certsd"
)

func TestContainerdsConfiguration(t *testing.T) {
	t.Parallel()
	const disabled = `disabled_plugins = ["io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"]` + "\n"
	for _, tt := range []struct {
		name, config string
		want         []string
	}{
		{name: "nothing said", config: "version = 3\n"},
		{
			name:   "two roots for stock containerd",
			config: "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n",
			want: []string{
				"warning stock-two-roots FILE: config_path has two roots: stock containerd ignores both -> give it one root, or let certsd pull: see config.toml.example",
			},
		},
		{
			name:   "three roots, version 2",
			config: "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/a:/b:/c'\n",
			want: []string{
				"warning stock-two-roots FILE: config_path has 3 roots: stock containerd ignores all of them -> give it one root, or let certsd pull: see config.toml.example",
			},
		},
		{
			name:   "two roots for certsd",
			config: disabled + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/b:/a'\n[plugins.'io.containerd.internal.v1.certsd']\nconfig_path = '/a:/b'\n",
		},
		{
			name:   "other roots",
			config: "[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '/c'\n",
			want:   []string{"warning other-roots FILE: config_path is /c, and /a:/b is checked -> certsd check --root /c"},
		},
		{
			name:   "certsd with the stock plugins",
			config: "disabled_plugins = ['io.containerd.grpc.v1.transfer']\n[plugins.'io.containerd.internal.v1.certsd']\n",
			want: []string{
				`warning certsd-stays-out FILE: certsd is configured, and stays out because the stock plugins are enabled -> add to disabled_plugins: "io.containerd.transfer.v1.local"`,
			},
		},
		{
			name:   "deprecated keys",
			config: "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'reg'.tls]\nca_file = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'reg'.auth]\npassword = 'not-to-be-shown'\n",
			want: []string{
				"warning deprecated-keys FILE: registry.mirrors and registry.configs are deprecated, and are not read where config_path is set -> certsd migrate --config FILE",
			},
		},
		{
			name: "not TOML", config: "version = 3\npassword = not-to-be-shown\n",
			want: []string{"warning containerd-config FILE:2: is not what containerd reads: expected keyword \"nan\" -> correct it"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(file, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			c := &Checker{Roots: certsd.Roots{"/a", "/b"}}
			got := lines(&Registry{Findings: c.Containerd(file)}, file, nil)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "ROOT", "FILE")
			}
			compare(t, append(tt.want, ": "), got)
		})
	}
	if got := (&Checker{}).Containerd(filepath.Join(t.TempDir(), "none")); got != nil {
		t.Errorf("a file that is not there: %v", got)
	}
	dir := t.TempDir()
	got := lines(&Registry{Findings: (&Checker{}).Containerd(dir)}, dir, nil)
	compare(t, []string{"warning containerd-config ROOT: cannot be read: is not a file of configuration -> run the check as root", ": "}, got)
}

func FuzzContainerdsConfiguration(f *testing.F) {
	f.Add([]byte("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"))
	f.Add([]byte("disabled_plugins = ['x']\n[plugins.'io.containerd.internal.v1.certsd']\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var config containerdConfig
		if toml.Unmarshal(data, &config) != nil {
			return
		}
		for _, finding := range (&Checker{Roots: certsd.Roots{"/a"}}).containerd("file", &config) {
			if finding.Code == "" || finding.Message == "" || finding.Next == "" {
				t.Errorf("%+v", finding)
			}
		}
	})
}
