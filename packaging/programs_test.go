//go:build linux

package packaging

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// unpacked are the files of the archives of an architecture.
func unpacked(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range packages(t, "a", "*_linux_"+arch+".tar.gz") {
		output(t, "tar", "-xzf", file, "-C", dir, "--strip-components=1")
	}
	return dir
}

func programs(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "usr/lib/containerd-certsd/*/*"))
	if err != nil || len(found) < 3 {
		t.Fatalf("%d programs of containerd: %v", len(found), err)
	}
	return append(found, filepath.Join(dir, "usr/bin/certsd"))
}

// TestPrograms looks at what cannot be run here, too: for which machine it is,
// what it was built from, and that nothing tells where.
func TestPrograms(t *testing.T) {
	t.Parallel()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	commit := commitOf(t)
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		dir := unpacked(t, arch)
		for _, program := range programs(t, dir) {
			name := strings.TrimPrefix(program, dir)
			f, err := elf.Open(program)
			if err != nil {
				t.Fatal(err)
			}
			if f.Machine != machine {
				t.Errorf("%s for %s is for %s", name, arch, f.Machine)
			}
			if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
				t.Errorf("%s for %s needs %q, %v", name, arch, libraries, err)
			}
			f.Close()
			data, err := os.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			for _, place := range []string{home + "/go/", "/further/away/", os.TempDir() + "/tmp."} {
				if bytes.Contains(data, []byte(place)) {
					t.Errorf("%s for %s knows of %s", name, arch, place)
				}
			}
			// What --version says: the commit, and of containerd its own version.
			if !bytes.Contains(data, []byte(commit)) {
				t.Errorf("%s for %s does not say that it is of %s", name, arch, commit)
			}
			info, err := buildinfo.Read(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			var containerd string
			for _, m := range info.Deps {
				if m.Path == "github.com/containerd/containerd/v2" {
					containerd = m.Version
				}
			}
			if info.Main.Path == "github.com/containerd/containerd/v2" {
				containerd = info.Main.Version
			}
			line := filepath.Base(filepath.Dir(program))
			if line != "bin" && !strings.HasPrefix(containerd, "v"+line+".") || !strings.HasPrefix(info.GoVersion, "go1.") {
				t.Errorf("%s for %s is of containerd %q and %s", name, arch, containerd, info.GoVersion)
			}
		}
	}
}

// commitOf is the commit that the packages are of, in their names, or the version of a
// source without one.
func commitOf(t *testing.T) string {
	t.Helper()
	version := strings.TrimSuffix(versionOf(one(t, "a", "certsd_*_amd64.deb")), "-1")
	return version[strings.LastIndexByte(version, '.')+1:]
}

// TestVersions has the programs of this machine say what they are made of.
func TestVersions(t *testing.T) {
	t.Parallel()
	dir, commit := unpacked(t, runtime.GOARCH), commitOf(t)
	for _, program := range programs(t, dir) {
		args, want := []string{"--version"}, regexp.MustCompile(`containerd\S* .*v2\.\d+\.\d+ certsd-\S*`+commit)
		switch filepath.Base(program) {
		case "certsd":
			want = regexp.MustCompile(`certsd version \S*` + commit)
		case "ctr":
			want = regexp.MustCompile(`ctr .*v2\.\d+\.\d+`)
		case "containerd-shim-runc-v2":
			args, want = []string{"-v"}, regexp.MustCompile(`Version: +v2\.\d+\.\d+\n +Revision: certsd-\S*`+commit)
		}
		if out := output(t, program, args...); !want.MatchString(out) {
			t.Errorf("%s %s says %q, want %s", program, args[0], out, want)
		}
	}
}

// TestPKCS11 looks at the program that is linked with C: it needs libc and nothing
// else, of a version that the package asks for, and cannot be written to while it
// runs. It is installed, and signs with a key in a token for pulls of the command and
// of the plugin; docs/install.md has the gateway too.
func TestPKCS11(t *testing.T) {
	t.Parallel()
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		dir := t.TempDir()
		output(t, "tar", "-xzf", one(t, "a", "certsd-pkcs11_*_linux_"+arch+".tar.gz"), "-C", dir, "--strip-components=1")
		f, err := elf.Open(filepath.Join(dir, "usr/bin/certsd-pkcs11"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine || f.Type != elf.ET_DYN {
			t.Errorf("for %s it is for %s, and %s", arch, f.Machine, f.Type)
		}
		symbols, err := f.ImportedSymbols()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range symbols {
			if minor, ok := strings.CutPrefix(s.Version, "GLIBC_2."); ok && len(minor) == 2 && minor > "34" || strings.HasPrefix(s.Library, "libp11") {
				t.Errorf("for %s it needs %s of %s %s", arch, s.Name, s.Library, s.Version)
			}
		}
	}
	deb := func(pattern string) string { return " /packages/a/" + filepath.Base(one(t, "a", pattern)) }
	m := newDebian(t)
	out := m.run(t, "apt-get install -y"+deb("certsd_*_amd64.deb")+deb("certsd-pkcs11_*_amd64.deb")+deb("containerd-certsd-2.4_*_amd64.deb")+` 2>&1
certsd-pkcs11 2>&1 || true
certsd demo --serve /tmp/demo >/tmp/demo.log 2>&1 &
demo=$!
`+until("test -s /tmp/demo/ref", "kill -0 $demo")+`
ref=$(cat /tmp/demo/ref)
key=/tmp/demo/certs.d/${ref%%/*}/bravo.key
softhsm2-util --init-token --free --label node --so-pin 12345678 --pin 12345678
softhsm2-util --import $key --token node --label client --id 01 --pin 12345678
(umask 077; echo 12345678 >/etc/certsd/pin)
echo 'pkcs11:token=node;object=client?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/certsd/pin' >$key
certsd pull --root /tmp/demo/certs.d --output /tmp/without $ref 2>&1 && exit 1
certsd pull --root /tmp/demo/certs.d --output /tmp/with --signer certsd-pkcs11 $ref && echo "the command has $(ls /tmp/with)"

mkdir -p /etc/containerd /var/lib/containerd
mount -t tmpfs images /var/lib/containerd
sed 's/^  signer = .*/  signer = ["certsd-pkcs11"]/' /usr/share/doc/containerd-certsd-2.4/config.toml.example >/etc/containerd/config.toml
PATH=/usr/lib/containerd-certsd/2.4:$PATH
containerd >/tmp/containerd.log 2>&1 &
containerd=$!
`+until("ctr version", "kill -0 $containerd")+`
ctr images pull --hosts-dir /tmp/demo/certs.d $ref >/dev/null
echo "the plugin has $(ctr images ls -q)"
kill $containerd $demo; wait || true`)
	expect(t, "certsd-pkcs11", out, `signer = ["certsd-pkcs11"]`, "403 Forbidden", "the command has blobs\nindex.json\noci-layout", "the plugin has 127.0.0.1:")
}

// until is shell that waits for a command to succeed, at most as long as another one does.
func until(succeeds, lives string) string {
	return "until " + succeeds + " >/dev/null 2>&1; do " + lives + " || { cat /tmp/*.log; exit 1; }; read -rt 0.1 <> <(:) || true; done"
}

// TestSBOM reads what lies in the packages and beside them.
func TestSBOM(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		dir := unpacked(t, arch)
		for _, program := range programs(t, dir) {
			name := filepath.Base(program)
			of := "certsd"
			if line := filepath.Base(filepath.Dir(program)); line != "bin" {
				of = "containerd-certsd-" + line
			}
			inside, err := os.ReadFile(filepath.Join(dir, "usr/share/doc", of, "sbom", name+".cdx.json"))
			if err != nil {
				t.Error(err)
				continue
			}
			pattern := of + "_*_" + arch + "_" + name + ".cdx.json"
			if of == "certsd" {
				pattern = "certsd_*_" + arch + ".cdx.json"
			}
			if beside, err := os.ReadFile(one(t, "a", pattern)); err != nil || !bytes.Equal(beside, inside) {
				t.Errorf("%s: the SBOM beside the package is another one: %v", pattern, err)
			}
			var bom struct {
				BOMFormat  string `json:"bomFormat"`
				Components []struct {
					Name, Version string
					Hashes        []struct{ Alg string }
				}
				Metadata struct{ Timestamp string }
			}
			if err := json.Unmarshal(inside, &bom); err != nil {
				t.Fatal(err)
			}
			valid(t, filepath.Join(dir, "usr/share/doc", of, "sbom", name+".cdx.json"))
			if bom.BOMFormat != "CycloneDX" || bom.Metadata.Timestamp != "" {
				t.Errorf("%s: %s of %s", name, bom.BOMFormat, bom.Metadata.Timestamp)
			}
			info, err := buildinfo.ReadFile(program)
			if err != nil {
				t.Fatal(err)
			}
			versions := map[string]string{}
			for _, c := range bom.Components {
				versions[c.Name] = c.Version
			}
			for _, m := range info.Deps {
				if m.Replace == nil && versions[m.Path] != m.Version {
					t.Errorf("%s: the SBOM has %q of %s, the program %s", name, versions[m.Path], m.Path, m.Version)
				}
			}
		}
	}
}

// valid validates an SBOM by CycloneDX' own schema, as its generator's module has it.
func valid(t *testing.T, bom string) {
	t.Helper()
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^CYCLONEDX_VERSION +:= (\S+)$`).FindSubmatch(makefile)
	var module struct{ Dir string }
	text := output(t, "go", "mod", "download", "-json", "github.com/CycloneDX/cyclonedx-gomod@"+string(version[1]))
	if err := json.Unmarshal([]byte(text), &module); err != nil {
		t.Fatal(err)
	}
	const at = "http://cyclonedx.org/schema/"
	args := []string{at + "bom-1.6.schema.json"}
	for name, file := range map[string]string{"bom-1.6.schema": "bom-1.6.schema", "spdx.schema": "spdx.schema", "jsf-0.82.schema": "jsf-0.82.schemax"} {
		args = append(args, at+name+".json="+filepath.Join(module.Dir, "internal/testutil/schema", file+".json"))
	}
	output(t, toolOf(t, "VALID"), append(args, "--", bom)...)
}

// TestSums checks digests by coreutils, and a signature by OpenSSH.
func TestSums(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(built(t), "later"))); err != nil {
		t.Fatal(err)
	}
	output(t, "sh", "-c", `cd "$1" && sha256sum --quiet -c SHA256SUMS`, "sh", dir)
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if own := strings.HasPrefix(f.Name(), "SHA256SUMS"); own == strings.Contains(string(sums), "  "+f.Name()+"\n") {
			t.Errorf("of %s: listed %v", f.Name(), !own)
		}
	}

	key := filepath.Join(t.TempDir(), "key")
	output(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "release", "-f", key)
	output(t, "sh", "-c", `cd "$1" && SIGNING_KEY="$2" "$3"/sign.sh`, "sh", dir, key, here(t))
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := filepath.Join(dir, "allowed_signers")
	if err := os.WriteFile(signers, []byte("release "+string(public)), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := `cd "$1" && ssh-keygen -Y verify -f allowed_signers -I release -n file -s SHA256SUMS.sig <SHA256SUMS`
	output(t, "sh", "-c", verify, "sh", dir)
	// One byte more, and it is not what was signed.
	output(t, "sh", "-c", `cd "$1" && echo >>SHA256SUMS && ! (`+verify+`)`, "sh", dir)
}

func here(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFIPS makes packages with Go's FIPS 140-3 module, and runs what is in them.
func TestFIPS(t *testing.T) {
	t.Parallel()
	built(t)
	dir := t.TempDir()
	output(t, "make", "-C", "..", "packages", "LINES=", "ARCHES="+runtime.GOARCH, "FORMATS=tar", "GOFIPS140=v1.0.0", "DIST="+dir)
	output(t, "sh", "-c", `for file in "$1"/*.tar.gz; do tar -xzf "$file" -C "$1" --strip-components=1; done`, "sh", dir)
	for _, name := range []string{"certsd", "certsd-pkcs11"} {
		program := filepath.Join(dir, "usr/bin", name)
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if !strings.HasPrefix(settings["GOFIPS140"], "v1.0.0") || !strings.Contains(settings["DefaultGODEBUG"], "fips140=on") {
			t.Errorf("%s was built with %q", name, settings)
		}
	}
	// With "only" what is not of the standard ends the program.
	out := output(t, "env", "GODEBUG=fips140=only", filepath.Join(dir, "usr/bin/certsd"), "demo")
	if !regexp.MustCompile(`bravo\.cert +200 OK`).MatchString(out) {
		t.Errorf("demo says\n%s", out)
	}
}
