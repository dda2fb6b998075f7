package helm

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// helm runs Helm, which "make chart" builds, and returns what it says on standard
// output and elsewhere.
func helm(t *testing.T, args ...string) (out, said string, err error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Fatal("HELM names no helm: make chart")
	}
	var errors strings.Builder
	cmd := exec.CommandContext(t.Context(), program, args...)
	// No plugins and no configuration of whoever runs this.
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home)
	cmd.Stderr = &errors
	text, err := cmd.Output()
	return string(text), errors.String(), err
}

// render is what a release "certsd" in a namespace of that name is made of.
func render(t *testing.T, values ...string) string {
	t.Helper()
	args := []string{"template", "certsd", "certsd", "--namespace", "certsd"}
	for _, file := range values {
		args = append(args, "--values", file)
	}
	out, said, err := helm(t, args...)
	if err != nil {
		t.Fatalf("%q: %v\n%s", values, err, said)
	}
	return out
}

// renders are values that stand for all there are.
func renders(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"no values": render(t)}
	for _, pattern := range []string{"testdata/*.yaml", "manifests/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 2 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, file := range files {
			all[file] = render(t, file)
		}
	}
	return all
}

func TestLint(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range append(files, "") {
		args := []string{"lint", "--strict", "certsd"}
		switch filepath.Dir(values) {
		case "certsd":
			continue
		case "testdata", "manifests":
			args = append(args, "--values", values)
		}
		if out, said, err := helm(t, args...); err != nil {
			t.Errorf("%s: %v\n%s%s", values, err, out, said)
		}
	}
}

// TestRefused has values that would make something that does not work.
func TestRefused(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"gateway.mod=Deployment":                                                    "additional properties 'mod' not allowed",
		"gateway.mode=StatefulSet":                                                  "value must be one of 'DaemonSet', 'Deployment'",
		"gateway.mode=Deployment":                                                   "a gateway that others reach needs a certificate",
		"gateway.mode=Deployment,gateway.deployment.tlsSecret=tls":                  "Name a Secret with ca.crt, client.cert and client.key for each registry",
		"gateway.settings.listen=0.0.0.0:80":                                        "additional properties 'listen' not allowed",
		"gateway.certificates.hostPath=certs.d":                                     "does not match pattern",
		"monitoring.serviceMonitor.enabled=true":                                    "nothing can be scraped from the cluster",
		"image.digest=sha256:0":                                                     "does not match pattern",
		"imageService.enabled=true,imageService.install.enabled=true":               "one of them, as both serve the same socket",
		"imageService.install.enabled=true,imageService.socketDirectory=/run/other": "listens in /run/certsd",
		"imageService.root=/certs.d":                                                "does not match pattern",
		"imageService.metricsPort=70000":                                            "maximum: got 70,000, want 65,535",
	} {
		_, said, err := helm(t, "template", "certsd", "certsd", "--set", set)
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v, want %q in\n%s", set, err, want, said)
		}
	}
}

// certsd is built once.
var certsd = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "certsd")
	out, err := exec.Command("go", "-C", "../..", "build", "-o", file, "./cmd/certsd").CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return file, nil
})

// TestMain removes the program.
func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := certsd(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// understood is what certsd says of a command line when help is asked for at its
// end: nothing is run, but all of it has been read.
func understood(t *testing.T, args []string) (string, error) {
	t.Helper()
	program, err := certsd()
	if err != nil {
		t.Fatal(program, err)
	}
	// Help of a directory, which --print-hosts takes, there is none.
	flags := slices.DeleteFunc(slices.Clone(args[1:]), func(arg string) bool { return !strings.HasPrefix(arg, "--") })
	out, err := exec.CommandContext(t.Context(), program, append(append(args[:1:1], flags...), "--help")...).CombinedOutput()
	return string(out), err
}

// TestCommandLines gives each container's arguments to certsd.
func TestCommandLines(t *testing.T) {
	t.Parallel()
	if out, err := understood(t, []string{"gateway", "--no-such-flag=1"}); err == nil {
		t.Fatalf("certsd takes everything:\n%s", out)
	}
	if out, err := understood(t, []string{"gateway", "--max-downloads=many"}); err == nil {
		t.Fatalf("certsd takes every value:\n%s", out)
	}
	seen := map[string]int{}
	for name, text := range renders(t) {
		for _, p := range pods(t, name, text) {
			for _, c := range slices.Concat(p.spec.InitContainers, p.spec.Containers) {
				seen[c.Args[0]]++
				if out, err := understood(t, c.Args); err != nil {
					t.Errorf("%s: %s: certsd does not take %q: %v\n%s", name, c.Name, c.Args, err, out)
				}
			}
		}
	}
	if seen["gateway"] < 5 || seen["cri"] < 4 {
		t.Errorf("only %v were looked at", seen)
	}
}

// TestAlerts holds that the rules are those of the documents.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, object := range objects(render(t, "testdata/everything.yaml")) {
		var rule struct {
			Kind string
			Spec any
		}
		if err := yaml.Unmarshal([]byte(object), &rule); err != nil {
			t.Fatal(err)
		}
		if rule.Kind == "PrometheusRule" {
			got = rule.Spec
		}
	}
	same(t, "rules", want, got)
}

// TestDashboard holds that Grafana gets the dashboard of the documents.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	var all []any
	for _, object := range objects(render(t, "testdata/everything.yaml")) {
		m, ok := decoded(t, "testdata/everything.yaml", object).(*core.ConfigMap)
		if !ok || !strings.HasSuffix(m.Name, "-dashboard") {
			continue
		}
		for _, data := range m.Data {
			var got any
			if err := yaml.Unmarshal([]byte(data), &got); err != nil {
				t.Fatal(err)
			}
			all = append(all, got)
		}
	}
	same(t, "dashboard", []any{want}, all)
}

// TestInstalled has certsd install what the chart gives it, and read it again.
func TestInstalled(t *testing.T) {
	t.Parallel()
	program, err := certsd()
	if err != nil {
		t.Fatal(program, err)
	}
	for _, file := range []string{"manifests/cri-installer.yaml", "testdata/installer.yaml"} {
		var settings string
		for _, object := range objects(render(t, file)) {
			if m, ok := decoded(t, file, object).(*core.ConfigMap); ok {
				settings = m.Data["cri.toml"]
			}
		}
		config, node := filepath.Join(t.TempDir(), "cri.toml"), t.TempDir()
		if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), program, "cri", "--config", config, "--install", node).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s with\n%s", file, err, out, settings)
			continue
		}
		unit := string(read(t, filepath.Join(node, "etc/systemd/system/certsd-cri.service")))
		if want := "\nExecStart=/opt/certsd/bin/certsd cri --config /etc/certsd/cri.toml\n"; !strings.Contains(unit, want) {
			t.Errorf("%s: %q is missing in\n%s", file, want, unit)
		}
		if now := string(read(t, filepath.Join(node, "etc/certsd/cri.toml"))); !strings.HasSuffix(now, settings) {
			t.Errorf("%s: installed are\n%s", file, now)
		}
	}
}
