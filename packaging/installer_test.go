//go:build linux

package packaging

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// installer is what packaging/kubernetes has of the pod that installs the image service:
// its template, and its settings.
func installer(t *testing.T) (template map[string]any, settings string) {
	t.Helper()
	text, err := os.ReadFile("kubernetes/cri-installer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct {
			Kind string
			Data map[string]string
			Spec struct{ Template map[string]any }
		}
		if err := yaml.Unmarshal([]byte(document+"\n"), &object); err != nil {
			t.Fatal(err)
		}
		switch object.Kind {
		case "ConfigMap":
			settings = object.Data["cri.toml"]
		case "DaemonSet":
			template = object.Spec.Template
		}
	}
	if template == nil || settings == "" {
		t.Fatal("there is no DaemonSet, or no settings")
	}
	return template, settings
}

// installerPod is the pod of the DaemonSet as a file for a kubelet without a cluster: of
// another image, with a directory of the node in the place of the ConfigMap, and without
// a network of its own, which this node has not and the pod does not use.
func installerPod(t *testing.T, image, config string) []byte {
	t.Helper()
	template, _ := installer(t)
	template["apiVersion"], template["kind"] = "v1", "Pod"
	template["metadata"] = map[string]any{"name": "certsd-cri-installer", "namespace": "certsd"}
	spec, _ := template["spec"].(map[string]any)
	spec["hostNetwork"] = true
	containers, _ := spec["containers"].([]any)
	container, _ := containers[0].(map[string]any)
	container["image"] = image
	volumes, _ := spec["volumes"].([]any)
	for _, v := range volumes {
		volume, _ := v.(map[string]any)
		if _, ok := volume["configMap"]; ok {
			delete(volume, "configMap")
			volume["hostPath"] = map[string]any{"path": config}
		}
	}
	text, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestInstaller is a Kubernetes node on which the chart's pod installs the image service:
// the kubelet runs it, the node starts again, a later version comes, and all of it goes.
func TestInstaller(t *testing.T) {
	t.Parallel()
	m := newKubernetes(t)
	_, settings := installer(t)
	const name = "ghcr.io/certsd/certsd"
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(one(t, "a", "certsd-*.tgz")), "certsd-"), ".tgz")
	m.put(t, "installer/first.json", installerPod(t, name+":"+version, "/installer/first"), 0o644)
	m.put(t, "installer/first/cri.toml", []byte(settings), 0o644)
	m.put(t, "installer/later.json", installerPod(t, name+":later", "/installer/later"), 0o644)
	m.put(t, "installer/later/cri.toml", []byte(settings+"log_level = \"debug\"\n"), 0o644)
	dir := t.TempDir()
	output(t, "dpkg-deb", "-x", one(t, "later", "certsd_*_"+runtime.GOARCH+".deb"), dir)
	program, archive := filepath.Join(dir, "usr/bin/certsd"), filepath.Join(dir, "later.tar")
	output(t, "env", "SOURCE_DATE_EPOCH=1700000000", "go", "run", "./ociimage", "--output", archive, "--name", name, "--tag", "later", "--program", runtime.GOARCH+"="+program)
	for at, file := range map[string]string{"installer/later.tar": archive, "installer/certsd": program} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m.put(t, at, data, 0o755)
	}

	out := m.boot(t, script(t, "installer.sh", "2.4"))
	t.Log(out)
	expect(t, "installed", out,
		"it has Uid: 0 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2",
		"the unit is enabled, inactive", "the image service is /opt/certsd/bin/certsd, certsd version ",
		"the pod says: Hello from an image that lives behind client certificates.", "== done")
	out = m.boot(t, script(t, "installed.sh", "2.4"))
	t.Log(out)
	expect(t, "started again", out,
		"the node has started: /opt/certsd/bin/certsd is active, before the kubelet",
		"== the pod says: Hello from an image that lives behind client certificates.",
		"the later version is used: the pod says: Hello", "== nothing else is left", "== done")
}
