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

// TestPKCS11 looks at the program that is linked with C: it needs libc and nothing
// else, of a version that the package asks for, and cannot be written to while it
// runs. It is installed and started.
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
	m := newDebian(t)
	out := m.run(t, "apt-get install -y /packages/a/"+filepath.Base(one(t, "a", "certsd_*_amd64.deb"))+
		" /packages/a/"+filepath.Base(one(t, "a", "certsd-pkcs11_*_amd64.deb"))+" 2>&1\ncertsd-pkcs11 2>&1 || true")
	expect(t, "certsd-pkcs11", out, `signer = ["certsd-pkcs11"]`)
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

// TestFIPS builds the command with Go's FIPS 140-3 module, and runs it.
func TestFIPS(t *testing.T) {
	t.Parallel()
	built(t)
	program := filepath.Join(t.TempDir(), "certsd")
	output(t, "env", "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOFIPS140=v1.0.0", "go", "build", "-buildvcs=false", "-o", program, "../cmd/certsd")
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if !strings.HasPrefix(settings["GOFIPS140"], "v1.0.0") || !strings.Contains(settings["DefaultGODEBUG"], "fips140=on") {
		t.Errorf("it was built with %q", settings)
	}
	if out := output(t, program, "demo"); !regexp.MustCompile(`bravo\.cert +200 OK`).MatchString(out) {
		t.Errorf("demo says\n%s", out)
	}
}
