//go:build linux

package packaging

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImageForEach reads the image with skopeo: one for each architecture, with
// the program that the packages have.
func TestImageForEach(t *testing.T) {
	t.Parallel()
	archive := one(t, "a", "certsd_*_oci.tar")
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		var found struct {
			Architecture, Os string
			Labels           map[string]string
			Layers           []string
		}
		text := output(t, "skopeo", "inspect", "--override-arch", arch, "oci-archive:"+archive)
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		if found.Architecture != arch || found.Os != "linux" || len(found.Layers) != 1 {
			t.Errorf("for %s there is %+v", arch, found)
		}
		for _, label := range []string{"created", "description", "documentation", "licenses", "revision", "source", "title", "url", "vendor", "version"} {
			if found.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("%s: the label %s is missing", arch, label)
			}
		}

		dir := t.TempDir()
		output(t, "tar", "-xf", archive, "-C", dir)
		files := filepath.Join(dir, "files")
		if err := os.Mkdir(files, 0o755); err != nil {
			t.Fatal(err)
		}
		output(t, "tar", "-xzf", filepath.Join(dir, "blobs", strings.ReplaceAll(found.Layers[0], ":", "/")), "-C", files)
		// Nothing but the program, and places for what is mounted and written.
		var list strings.Builder
		for line := range strings.Lines(output(t, "tar", "-tvzf", filepath.Join(dir, "blobs", strings.ReplaceAll(found.Layers[0], ":", "/")), "--numeric-owner")) {
			f := strings.Fields(line)
			list.WriteString(strings.Join([]string{f[0], f[1], f[5]}, " ") + "\n")
		}
		golden(t, "image", list.String())
		program := filepath.Join(files, "certsd")
		f, err := elf.Open(program)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		inside, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		packaged, err := os.ReadFile(filepath.Join(unpacked(t, arch), "usr/bin/certsd"))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != machine || !bytes.Equal(inside, packaged) {
			t.Errorf("for %s the program is for %s, the packaged one %v", arch, f.Machine, bytes.Equal(inside, packaged))
		}
	}
}

// TestImageRuns imports the image into Debian's containerd and into ours, and
// runs the gateway as nobody in particular, on a root that is read-only.
func TestImageRuns(t *testing.T) {
	t.Parallel()
	m := newDebian(t)
	archive := "/packages/a/" + filepath.Base(one(t, "a", "certsd_*_oci.tar"))
	m.run(t, "apt-get install -y /packages/a/"+filepath.Base(one(t, "a", "containerd-certsd-2.4_*_amd64.deb"))+" /packages/a/"+filepath.Base(one(t, "a", "certsd_*_amd64.deb")))
	for name, bin := range map[string]string{"Debian's": "/usr/bin", "ours": "/usr/lib/containerd-certsd/2.4"} {
		out := m.run(t, `
mkdir -p /var/lib/containerd
mount -t tmpfs images /var/lib/containerd
PATH=`+bin+`:$PATH
containerd >/tmp/containerd.log 2>&1 &
containerd=$!
until ctr version >/dev/null 2>&1; do
	kill -0 $containerd || { cat /tmp/containerd.log; exit 1; }
	read -rt 0.1 <> <(:) || true
done
ctr images import `+archive+`
touch /etc/hosts /etc/resolv.conf
image=$(ctr images ls -q)
echo "it is $image"
run="ctr run --rm --net-host --read-only"
$run "$image" version /certsd --version
$run "$image" demo /certsd gateway --help
mkdir -p /tmp/certs.d/registry.example /tmp/state
chown 65532:65532 /tmp/state
chmod 700 /tmp/state
# As the kubelet mounts a Secret for a pod with fsGroup.
echo a-secret-of-the-cluster >/tmp/secret
chown 0:65532 /tmp/secret
chmod 440 /tmp/secret
$run --mount type=bind,src=/tmp/certs.d,dst=/etc/containerd/certs.d,options=rbind:ro \
	--mount type=bind,src=/tmp/state,dst=/var/lib/certsd/gateway,options=rbind:rw \
	--mount type=bind,src=/tmp/secret,dst=/var/lib/certsd/gateway/secret,options=rbind:ro "$image" gateway >/tmp/gateway.log 2>&1 &
gateway=$!
until (exec 3<>/dev/tcp/127.0.0.1/5999) 2>/dev/null; do
	kill -0 $gateway || { cat /tmp/gateway.log; exit 1; }
	read -rt 0.1 <> <(:) || true
done
exec 3<>/dev/tcp/127.0.0.1/5999
printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
head -n 1 <&3
exec 3<>/dev/tcp/127.0.0.1/5999
printf 'GET /v2/ HTTP/1.0\r\nHost: 127.0.0.1:5999\r\nX-Certsd-Token: a-secret-of-the-cluster\r\n\r\n' >&3
echo "with the secret: $(head -n 1 <&3)"
grep ^Uid: /proc/$(ctr tasks ls | awk '$1 == "gateway" { print $2 }')/status
ctr tasks kill gateway
wait $gateway || echo "ended with $?"
kill $containerd; wait || true`)
		expect(t, name, out, "it is ghcr.io/certsd/certsd:", "certsd version ", "serve registries", "HTTP/1.0 200 OK",
			"Uid:\t65532\t65532\t65532\t65532", "with the secret: HTTP/1.0 200 OK")
		if strings.Contains(out, "ended with") {
			t.Errorf("%s: SIGTERM does not end it as asked:\n%s", name, out)
		}
	}
}

// TestChart holds that the packaged chart is for the image of the same build, and
// that its documents lead somewhere.
func TestChart(t *testing.T) {
	t.Parallel()
	archive := one(t, "a", "certsd-*.tgz")
	dir := t.TempDir()
	output(t, "tar", "-xzf", archive, "-C", dir)
	golden(t, "chart.tgz", output(t, "sh", "-c", `cd "$1" && find . -type f -printf '%m %P\n' | sort -k2`, "sh", dir))
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(archive), "certsd-"), ".tgz")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, "certsd", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	expect(t, "Chart.yaml", read("Chart.yaml"), "\nversion: "+version+"\n", "\nappVersion: "+version+"\n")
	alerts, err := os.ReadFile("../docs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if read("files/alerts.yaml") != string(alerts) {
		t.Error("the alerts are others than those of the documents")
	}
	for _, name := range []string{"README.md", "values.schema.json"} {
		if text := read(name); strings.Contains(text, "](../") || !strings.Contains(text, "/blob/") {
			t.Errorf("%s leads to files that are not there", name)
		}
	}
	var found struct{ Labels map[string]string }
	text := output(t, "skopeo", "inspect", "oci-archive:"+one(t, "a", "certsd_*_oci.tar"))
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	if image := found.Labels["org.opencontainers.image.version"]; image != version {
		t.Errorf("the chart is for %s, the image is %s", version, image)
	}
}
