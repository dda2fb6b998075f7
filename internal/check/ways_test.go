package check

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	inuse "github.com/certsd/containerd-certsd/internal/status"
)

// TestEachWayHasItsVerdict holds that a pull by certsd is not taken for a pull by
// whatever this machine's containerd is configured to do.
func TestEachWayHasItsVerdict(t *testing.T) {
	t.Parallel()
	const (
		plugin = "version = 3\ndisabled_plugins = ['io.containerd.transfer.v1.local', 'io.containerd.grpc.v1.transfer']\n"
		itself = "[plugins.'io.containerd.cri.v1.images']\ndiscard_unpacked_layers = true\n"
		roots  = "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = 'FIRST:SECOND'\n"
		one    = "[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = 'SECOND'\n"
		works  = "works: a pull would work: https://REG/v2 answers, with bravo.cert"
	)
	firstOfTwo := func(dir string) string {
		return "a pull by stock containerd would fail: it reads " + dir + "/REG_, and REG answers 403 to alpha.cert, the one of 2 certificates that it presents"
	}
	for _, tt := range []struct {
		name, config string
		// pairs are in the directory, besides the CA; alpha and bravo if nil.
		pairs        files
		imageService bool
		daemons      []Daemon
		want         []string
	}{
		{name: "no containerd", want: []string{"certsd by certsd " + works}},
		{
			name: "the plugin", config: plugin + roots,
			want: []string{"ctr by certsd " + works, "cri by certsd " + works, "certsd by certsd " + works},
		},
		{
			name: "the plugin, and CRI that knows another root alone", config: plugin + strings.Replace(one, "SECOND", "FIRST", 1),
			want: []string{
				"ctr by certsd " + works,
				"cri by certsd unasked: CRI sends its own config_path, FIRST, with each pull, and SECOND/REG_ is not in it: put it there, or its root into config_path",
				"certsd by certsd " + works,
			},
		},
		{
			name: "the plugin, and CRI that knows the one that counts", config: plugin + one,
			want: []string{"ctr by certsd " + works, "cri by certsd " + works, "certsd by certsd " + works},
		},
		{
			name: "the plugin, and CRI that pulls by itself from both roots", config: plugin + itself + roots,
			want: []string{"ctr by certsd " + works, "cri by containerd refused: " + firstOfTwo("SECOND"), "certsd by certsd " + works},
		},
		{
			name: "the same behind certsd cri", config: plugin + itself + roots, imageService: true,
			want: []string{"ctr by certsd " + works, "cri by certsd " + works, "certsd by certsd " + works},
		},
		{
			name: "the plugin by the configuration, and a stock containerd that runs", config: plugin + one,
			daemons: []Daemon{{Kind: inuse.Plugin, Why: "this containerd is a stock one"}},
			want: []string{
				"ctr by containerd refused: a pull by stock containerd would fail: it finds no directory, and at REG: tls: failed to verify certificate: x509: certificate signed by unknown authority; but this containerd is a stock one",
				"cri by containerd refused: " + firstOfTwo("SECOND") + "; but this containerd is a stock one",
				"certsd by certsd " + works,
			},
		},
		{
			name: "a containerd that runs whose CRI pulls by itself", config: plugin + roots,
			daemons: []Daemon{{Kind: inuse.Plugin, Status: &inuse.Status{Daemon: inuse.Plugin, CRI: inuse.CRIItself}}},
			want: []string{
				"ctr by certsd " + works, "cri by containerd refused: " + firstOfTwo("SECOND") + "; but in the running containerd, CRI pulls by itself",
				"certsd by certsd " + works,
			},
		},
		{
			name: "the same behind a certsd cri that answers", config: plugin + roots,
			daemons: []Daemon{
				{Kind: inuse.Plugin, Status: &inuse.Status{Daemon: inuse.Plugin, CRI: inuse.CRIItself}}, {Kind: inuse.ImageService, Status: &inuse.Status{Daemon: inuse.ImageService}},
			},
			want: []string{"ctr by certsd " + works, "cri by certsd " + works, "certsd by certsd " + works},
		},
		{
			name: "stock plugins, which take two roots for one", config: "version = 3\n" + roots, pairs: files{"bravo": bravo},
			want: []string{
				"ctr by containerd refused: a pull by stock containerd would fail: it finds no directory, and at REG: tls: failed to verify certificate: x509: certificate signed by unknown authority",
				"cri by containerd refused: a pull by stock containerd would fail: it finds no directory, and at REG: tls: failed to verify certificate: x509: certificate signed by unknown authority",
				"certsd by certsd " + "works: a pull would work: https://REG/v2 answers, with bravo.cert",
			},
		},
		{
			name: "stock plugins with one root and one pair", config: "version = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = 'SECOND'\n" + one, pairs: files{"bravo": bravo},
			want: []string{"ctr by containerd " + works, "cri by containerd " + works, "certsd by certsd " + works},
		},
		{
			name: "stock plugins, and no CRI", config: "version = 3\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = 'SECOND'\n",
			want: []string{"ctr by containerd refused: " + firstOfTwo("SECOND"), "certsd by certsd " + works},
		},
		{
			name: "keys that are not read", config: strings.Replace(plugin, "3", "2", 1) + "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'x'.tls]\nca_file = 'x'\n",
			want: []string{
				"ctr by certsd " + works,
				"cri by containerd unasked: CRI pulls by its deprecated keys, which are not checked: see certsd migrate",
				"certsd by certsd " + works,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reg := server{auth: tls.RequestClientCert, handle: only("bravo")}.start(t)
			dir := t.TempDir()
			first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
			in := files{"ca": serverCA, "alpha": alpha, "bravo": bravo}
			if tt.pairs != nil {
				in = files{"ca": serverCA}
				maps.Copy(in, tt.pairs)
			}
			write(t, first, files{"other.test": nil})
			write(t, second, of(reg, in))
			names := replacer(first, second, reg)
			c := &Checker{Roots: certsd.Roots{first, second}, ImageService: filepath.Join(dir, "cri.sock"), Daemons: tt.daemons}
			if tt.config != "" {
				c.Config = filepath.Join(dir, "config.toml")
				write(t, dir, files{"config.toml": names.paths(tt.config)})
			}
			if tt.imageService {
				listen(t, c.ImageService)
			}
			r, err := c.Registry(t.Context(), reg)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			worst := r.Ways[len(r.Ways)-1].Verdict
			for _, way := range r.Ways {
				got = append(got, names.words(way.Way+" by "+way.By+" "+string(way.Verdict)+": "+way.Reason))
				if worse(way.Verdict) > worse(worst) {
					worst = way.Verdict
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
			if r.Verdict != worst {
				t.Errorf("the verdict is %s, that of the worst way %s", r.Verdict, worst)
			}
		})
	}
}

// TestStockIsShownToNobodyElse holds that asking as stock containerd does
// follows no redirect: that would show the client certificate to its target.
func TestStockIsShownToNobodyElse(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	other := server{auth: tls.RequestClientCert, handle: told(asked)}.start(t)
	reg := server{auth: tls.RequestClientCert, handle: redirects("https://" + other + "/v2/")}.start(t)
	root := t.TempDir()
	write(t, root, of(reg, files{"ca": serverCA, "alpha": alpha}))
	config := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(config, []byte("version = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '"+root+"'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Checker{Roots: certsd.Roots{root}, Config: config, ImageService: "/none"}
	if _, err := c.Registry(t.Context(), reg); err != nil {
		t.Fatal(err)
	}
	close(asked)
	for client := range asked {
		if client != "" {
			t.Errorf("the target of the redirect was shown %q", client)
		}
	}
}
