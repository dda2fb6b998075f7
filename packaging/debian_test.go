//go:build linux

package packaging

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLintian looks for what Debian's own checker finds wrong. What is no fault
// here is in deb/*.lintian-overrides, with the reason.
func TestLintian(t *testing.T) {
	t.Parallel()
	args := append([]string{"--fail-on=error,warning", "--allow-root", "--tag-display-limit=0"}, packages(t, "a", "*.deb")...)
	if out := output(t, "lintian", args...); out != "" {
		t.Errorf("lintian says\n%s", out)
	}
}

// TestInstalledSize compares what docs/install.md says with what dpkg will say.
func TestInstalledSize(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("`certsd` takes (\\d+) MB and one containerd line (\\d+) to (\\d+) MB").FindStringSubmatch(string(text))
	if said == nil {
		t.Fatal("the document does not say what is installed")
	}
	number := func(s string) float64 {
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for pattern, want := range map[string][2]string{
		"certsd_*_amd64.deb": {said[1], said[1]}, "containerd-certsd-*_amd64.deb": {said[2], said[3]},
	} {
		for _, file := range packages(t, "a", pattern) {
			// In units of 1024 bytes.
			mb := number(output(t, "dpkg-deb", "-f", file, "Installed-Size")) * 1024 / 1e6
			if mb < number(want[0])-2 || mb > number(want[1])+2 {
				t.Errorf("%s takes %.1f MB, the document says %s to %s", filepath.Base(file), mb, want[0], want[1])
			}
		}
	}
}

// TestDebian is what happens to the command and its services on a node: it is
// installed, used, upgraded, downgraded, removed and purged.
func TestDebian(t *testing.T) {
	t.Parallel()
	m := newDebian(t)
	first := "/packages/a/" + filepath.Base(one(t, "a", "certsd_*_amd64.deb"))
	later := "/packages/later/" + filepath.Base(one(t, "later", "certsd_*_amd64.deb"))
	m.run(t, "install -d /etc/docker/certs.d")
	before := m.files(t)

	out := m.run(t, "umask 077; apt-get install -y "+first+` 2>&1
certsd --version
certsd demo
test -s /usr/share/man/man1/certsd.1.gz
for unit in certsd-cri.service certsd-cri.socket certsd-gateway.service certsd-gateway.socket; do
	echo $unit is $(systemctl is-enabled $unit || true)
	systemd-analyze verify --man=no $unit
done
stat -c '%n %a %U' /etc/certsd /etc/certsd/certs.d /usr/bin/certsd /usr/lib/systemd/system/certsd-gateway.service`)
	expect(t, "installed", out,
		"bravo.cert   200 OK", "certsd-cri.service is disabled", "certsd-gateway.socket is disabled",
		"/etc/certsd/certs.d 755 root", "/usr/bin/certsd 755 root", "certsd-gateway.service 644 root")

	// As its unit starts it, on a loopback interface that is nobody else's.
	out = m.run(t, `
mkdir -p /etc/certsd/certs.d/registry.example
sed -i 's/^max_downloads = .*/max_downloads = 3/' /etc/certsd/gateway.toml
systemctl enable certsd-gateway.socket certsd-gateway.service 2>&1
`+startGateway+`
exec 3<>/dev/tcp/127.0.0.1/5999
printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
head -n 1 <&3
kill $gateway; wait $gateway || true
ls /var/lib/certsd/gateway`)
	expect(t, "used", out, "HTTP/1.0 200 OK", "secret")

	for _, step := range []struct{ name, install string }{{"upgraded", later}, {"downgraded", first}} {
		out = m.run(t, "apt-get install -y --allow-downgrades "+step.install+` 2>&1
grep max_downloads /etc/certsd/gateway.toml
systemctl is-enabled certsd-gateway.service
systemctl is-enabled certsd-cri.service || true
dpkg-query -W certsd
ls /var/lib/certsd/gateway /etc/certsd/certs.d`)
		expect(t, step.name, out, "max_downloads = 3", "enabled\ndisabled\n", "certsd\t"+versionOf(step.install), "secret", "registry.example")
	}

	out = m.run(t, `apt-get remove -y certsd 2>&1
test ! -e /usr/bin/certsd
grep max_downloads /etc/certsd/gateway.toml
ls /var/lib/certsd/gateway`)
	expect(t, "removed", out, "max_downloads = 3", "secret")

	out = m.run(t, "apt-get purge -y certsd 2>&1")
	expect(t, "purged", out, "certsd: /etc/certsd/certs.d stays as it is: the certificates and keys in it are yours")
	m.run(t, "rmdir /etc/certsd/certs.d/registry.example /etc/certsd/certs.d /etc/certsd")
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(m.files(t), "\n")); diff != "" {
		t.Errorf("purged, but there are traces (-before +after):\n%s", diff)
	}
}

// TestPlugin has Debian's containerd give place to ours and take it again. The
// machine has what makes that hard: a drop-in, a containerd in /usr/local, which
// is read-only, and umask 077. Its configuration is Debian's own, of version 2.
func TestPlugin(t *testing.T) {
	t.Parallel()
	m := newDebian(t)
	deb := func(pattern string) string { return " /packages/a/" + filepath.Base(one(t, "a", pattern)) }
	m.run(t, `mkdir -p /etc/systemd/system/containerd.service.d /var/lib/containerd /etc/cni/net.d
printf '[Service]\nExecStart=\nExecStart=/usr/local/bin/containerd --log-level info\n' >/etc/systemd/system/containerd.service.d/override.conf
echo theirs >/usr/local/bin/containerd
chmod +x /usr/local/bin/containerd`)
	files := m.files(t)
	out := m.run(t, "apt-get install -y"+deb("certsd_*_amd64.deb")+deb("containerd-certsd-2.4_*_amd64.deb")+" 2>&1")
	expect(t, "installed", out, "containerd is as it was; certsd plugin enable --line 2.4 --dry-run shows what would change")
	before := m.files(t)

	if out := m.run(t, "certsd plugin enable --dry-run 2>&1"); m.files(t) != before {
		t.Errorf("a dry run has changed something:\n%s", out)
	}
	out = m.run(t, `umask 077
mount --bind /usr/local /usr/local
mount -o remount,bind,ro /usr/local
certsd plugin enable --line 2.4 2>&1
systemd-analyze verify --man=no containerd.service
stat -c '%n %a' /etc/systemd/system/containerd.service.d/zz-certsd.conf /etc/containerd/config.toml
grep -x 'version = 2' /etc/containerd/config.toml
`+startAsUnit+`
certsd demo --serve /tmp/demo >/tmp/demo.log 2>&1 &
demo=$!
`+until("test -s /tmp/demo/ref", "kill -0 $demo")+`
test "$(ctr plugins ls | grep -c "certsd .* ok ")" = 3
ctr images pull --hosts-dir /tmp/demo/certs.d "$(cat /tmp/demo/ref)"
ctr images ls -q | grep -xF "$(cat /tmp/demo/ref)" >/dev/null && echo the image is there
kill $containerd $demo; wait || true`)
	expect(t, "enabled", out,
		"+ExecStart=/usr/lib/containerd-certsd/2.4/containerd --log-level info\n", "+disabled_plugins = [",
		"containerd will run with the plugin from its next start: systemctl restart containerd",
		"zz-certsd.conf 644", "config.toml 644", "the image is there")

	m.run(t, "certsd plugin disable 2>&1")
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(m.files(t), "\n")); diff != "" {
		t.Errorf("disabled (-before +after):\n%s", diff)
	}

	// Other configurations: the newest version, none at all, and one of several files.
	for name, config := range map[string]string{
		"version 3": "/usr/lib/containerd-certsd/2.4/containerd config default >/etc/containerd/config.toml",
		"none":      "rm /etc/containerd/config.toml",
		"imports":   "mkdir /etc/containerd/conf.d; printf 'version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n' >/etc/containerd/config.toml; printf 'version = 2\n[debug]\nlevel = \"debug\"\n' >/etc/containerd/conf.d/debug.toml",
	} {
		m.run(t, "cp -a /etc/containerd /var/cache/containerd.kept\n"+config)
		before := m.files(t)
		out := m.run(t, "umask 077\ncertsd plugin enable --line 2.4 2>&1\n"+startAsUnit+`
test "$(ctr plugins ls | grep -c "certsd .* ok ")" = 3
certsd status | sed -n 1,3p
stat -c '%n %a' /etc/containerd/config.toml
kill $containerd; wait || true
rm -rf /opt/containerd # containerd's own place for what ctr install installs`)
		expect(t, name, out, "+disabled_plugins = [", "config.toml 644", "/run/containerd/containerd.sock")
		m.run(t, "certsd plugin disable 2>&1")
		if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(m.files(t), "\n")); diff != "" {
			t.Errorf("%s: disabled (-before +after):\n%s", name, diff)
		}
		m.run(t, "rm -rf /etc/containerd; mv /var/cache/containerd.kept /etc/containerd")
	}

	// Removed while it is in use, it does not leave a unit that cannot start.
	m.run(t, "certsd plugin enable --line 2.4 2>&1; apt-get purge -y containerd-certsd-2.4 certsd 2>&1")
	if diff := cmp.Diff(strings.Split(files, "\n"), strings.Split(m.files(t), "\n")); diff != "" {
		t.Errorf("purged (-before +after):\n%s", diff)
	}
}

// startAsUnit starts what the drop-in says, and waits for it.
var startAsUnit = `
umask 022
mount -t tmpfs images /var/lib/containerd
dropin=/etc/systemd/system/containerd.service.d/zz-certsd.conf
export "$(sed -n 's/^Environment="\(.*\)"$/\1/p' $dropin)"
$(sed -n 's/^ExecStart=\(.\)/\1/p' $dropin) 2>/tmp/containerd.log &
containerd=$!
` + until("ctr version", "kill -0 $containerd") + `
`

// startGateway starts the gateway and waits until it listens.
const startGateway = `
certsd gateway --config /etc/certsd/gateway.toml 2>/tmp/gateway.log &
gateway=$!
until (exec 3<>/dev/tcp/127.0.0.1/5999) 2>/dev/null; do
	kill -0 $gateway || { cat /tmp/gateway.log; exit 1; }
	read -rt 0.1 <> <(:) || true
done`

// versionOf is the version in the name of a package.
func versionOf(deb string) string {
	return strings.Split(filepath.Base(deb), "_")[1]
}
