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
				"warning stock-two-roots FILE: config_path has two roots: stock containerd ignores both -> give it one root, or let certsd pull: see https://github.com/certsd/containerd-certsd/blob/main/config.toml.example",
			},
		},
		{
			name:   "three roots, version 2",
			config: "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/a:/b:/c'\n",
			want: []string{
				"warning stock-two-roots FILE: config_path has 3 roots: stock containerd ignores all of them -> give it one root, or let certsd pull: see https://github.com/certsd/containerd-certsd/blob/main/config.toml.example",
			},
		},
		{
			name:   "two roots for CRI that pulls by itself, as EKS ships it",
			config: "version = 3\n[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n",
		},
		{
			name:   "the same, version 2",
			config: "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = true\n[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = '/a:/b'\n",
		},
		{
			name:   "two roots for certsd",
			config: disabled + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/b:/a'\n[plugins.'io.containerd.internal.v1.certsd']\nconfig_path = '/a:/b'\n",
		},
		{
			name:   "other roots",
			config: "[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '/c'\n",
			want:   []string{"warning other-roots FILE: config_path is /c, but /a:/b is checked -> certsd check --all --root /c"},
		},
		{
			name:   "certsd with the stock plugins",
			config: "disabled_plugins = ['io.containerd.grpc.v1.transfer']\n[plugins.'io.containerd.internal.v1.certsd']\n",
			want: []string{
				`warning certsd-stays-out FILE: certsd is configured but inactive, because the stock plugins are enabled -> add to disabled_plugins: "io.containerd.transfer.v1.local"`,
			},
		},
		{
			name:   "deprecated keys",
			config: "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'reg'.tls]\nca_file = 'x'\n[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'reg'.auth]\npassword = 'not-to-be-shown'\n",
			want: []string{
				"warning deprecated-keys FILE: config_path replaces registry.configs -> certsd migrate --config FILE",
			},
		},
		{
			name:   "mirrors beside a config_path",
			config: disabled + "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'reg']\nendpoint = ['https://other']\n",
			want: []string{
				"warning deprecated-keys FILE: config_path replaces registry.mirrors -> certsd migrate --config FILE",
				"error cri-does-not-start FILE: registry.mirrors beside config_path: CRI does not start -> remove registry.mirrors, once what it says is in hosts.toml: certsd migrate --config FILE",
				`warning cri-pulls-itself FILE: CRI pulls by itself, without certsd, because of registry.mirrors -> remove from [plugins."io.containerd.cri.v1.images"]: registry.mirrors`,
			},
		},
		{
			name:   "another number of layers at a time",
			config: disabled + "[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 5\n",
			want: []string{
				`warning cri-pulls-itself FILE: CRI pulls by itself, without certsd, because of max_concurrent_downloads -> ` +
					`remove from [plugins."io.containerd.cri.v1.images"]: max_concurrent_downloads; set the number of layers at a time in [plugins."io.containerd.transfer.v1.certsd"]`,
			},
		},
		{
			name: "everything for which CRI pulls by itself",
			config: "version = 3\n" + disabled + "[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\nimage_pull_with_sync_fs = true\n" +
				"discard_unpacked_layers = true\ndisable_snapshot_annotations = false\n[plugins.'io.containerd.cri.v1.images'.registry.auths.'https://reg']\npassword = 'not-to-be-shown'\n",
			want: []string{
				"warning deprecated-keys FILE: config_path replaces registry.auths -> certsd migrate --config FILE",
				"warning cri-pulls-itself FILE: CRI pulls by itself, without certsd, because of use_local_image_pull, image_pull_with_sync_fs, discard_unpacked_layers, disable_snapshot_annotations, registry.auths -> " +
					`remove from [plugins."io.containerd.cri.v1.images"]: use_local_image_pull, image_pull_with_sync_fs, discard_unpacked_layers, disable_snapshot_annotations, registry.auths`,
			},
		},
		{
			name:   "the same in version 2",
			config: "version = 2\n" + disabled + "[plugins.'io.containerd.grpc.v1.cri'.containerd]\ndiscard_unpacked_layers = true\n",
			want: []string{
				"warning cri-pulls-itself FILE: CRI pulls by itself, without certsd, because of containerd.discard_unpacked_layers -> " +
					`remove from [plugins."io.containerd.grpc.v1.cri"]: containerd.discard_unpacked_layers`,
			},
		},
		{
			name:   "a section that version 3 does not read",
			config: "version = 3\n" + disabled + "[plugins.'io.containerd.grpc.v1.cri']\nmax_concurrent_downloads = 5\n",
		},
		{
			name:   "the defaults, said",
			config: disabled + "[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 3\ndisable_snapshot_annotations = true\nuse_local_image_pull = false\n",
		},
		{
			name:   "CRI of a containerd without certsd",
			config: "[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 5\n",
		},
		{
			name: "CRI is switched off",
			config: "disabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer', 'io.containerd.grpc.v1.cri']\n" +
				"[plugins.'io.containerd.cri.v1.images']\nmax_concurrent_downloads = 5\n",
		},
		{
			name: "a byte order mark", config: "\ufeffversion = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '/c'\n",
			want: []string{
				`warning containerd-config FILE: begins with a byte order mark: containerd does not read it, and does not start with it -> remove it: sed -i '1s/^\xef\xbb\xbf//' FILE`,
				"warning other-roots FILE: config_path is /c, but /a:/b is checked -> certsd check --all --root /c",
			},
		},
		{
			name: "UTF-16 without a mark, and with a letter that is none of ASCII", config: "#\x00 \x00\xfc\x00\n\x00v\x00=\x001\x00\n\x00",
			want: []string{"warning containerd-config FILE: cannot be read: is text in UTF-16LE, not in UTF-8 -> convert it: iconv -f UTF-16LE -t UTF-8 FILE >FILE.new && mv FILE.new FILE"},
		},
		{
			name: "not TOML", config: "version = 3\npassword = not-to-be-shown\n",
			want: []string{"warning containerd-config FILE:2: is not a valid configuration of containerd: expected keyword \"nan\" -> correct it"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(file, []byte(tt.config), 0o600); err != nil {
				t.Fatal(err)
			}
			c := &Checker{Roots: certsd.Roots{"/a", "/b"}, Config: file}
			got := lines(&Registry{Findings: c.Containerd()}, file, nil)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], "ROOT", "FILE")
			}
			compare(t, append(tt.want, ": "), got)
		})
	}
	if got := (&Checker{Config: filepath.Join(t.TempDir(), "none")}).Containerd(); got != nil {
		t.Errorf("a file that is not there: %v", got)
	}
	dir := t.TempDir()
	got := lines(&Registry{Findings: (&Checker{Config: dir}).Containerd()}, dir, nil)
	compare(t, []string{"warning containerd-config ROOT: cannot be read: is a directory -> put a configuration file there", ": "}, got)
}

func FuzzContainerdsConfiguration(f *testing.F) {
	f.Add([]byte("version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/a:/b'\n"))
	f.Add([]byte("disabled_plugins = ['x']\n[plugins.'io.containerd.internal.v1.certsd']\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var config containerdConfig
		if toml.Unmarshal(data, &config) != nil {
			return
		}
		for _, finding := range (configJudge{machine: newMachine(&Checker{Roots: certsd.Roots{"/a"}})}).readable("file", &config) {
			if finding.Code == "" || finding.Message == "" || finding.Next == "" {
				t.Errorf("%+v", finding)
			}
		}
	})
}

// The daemon is asked where its configuration has it listen.
func TestContainerdAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"version = 3\n": "",
		"version = 3\n[grpc]\naddress = '/run/k3s/containerd/containerd.sock'\n":                          "/run/k3s/containerd/containerd.sock",
		"version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/other/containerd.sock'\n": "/run/other/containerd.sock",
		"version = 3\n[grpc\n": "",
	} {
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := (&Checker{Config: file}).ContainerdAddress(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
