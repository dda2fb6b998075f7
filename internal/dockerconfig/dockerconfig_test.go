package dockerconfig

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// basic is an entry of auths.
func basic(user, password string) string {
	return `{"auth":"` + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + `"}`
}

func writeFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func fileOf(t testing.TB, text string) *File {
	t.Helper()
	f := &File{Path: filepath.Join(t.TempDir(), "config.json")}
	writeFile(t, f.Path, text, 0o600)
	return f
}

// TestMostSpecificKey has an entry for each spelling of a key; its user is the
// key.
func TestMostSpecificKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		keys             []string
		host, repository string
		want             string
	}{
		{"the host", []string{"reg.test", "other.test"}, "reg.test", "app", "reg.test"},
		{"host and port", []string{"reg.test", "reg.test:5000", "reg.test:5001"}, "reg.test:5000", "app", "reg.test:5000"},
		{"another port is another server", []string{"reg.test", "reg.test:5001"}, "reg.test:5000", "app", ""},
		{"the port of https", []string{"reg.test:443"}, "reg.test", "app", "reg.test:443"},
		{"the port of https, asked for", []string{"reg.test"}, "reg.test:443", "app", "reg.test"},
		{"a URL", []string{"https://reg.test"}, "reg.test", "app", "https://reg.test"},
		{"a URL of an old login", []string{"https://reg.test:5000/v1/"}, "reg.test:5000", "app", "https://reg.test:5000/v1/"},
		{"a URL with a path is no namespace", []string{"https://reg.test/team"}, "reg.test", "app", "https://reg.test/team"},
		{"an old login without scheme", []string{"reg.test/v2/"}, "reg.test", "app", "reg.test/v2/"},
		{"the host before its URL", []string{"https://reg.test", "reg.test", "http://reg.test"}, "reg.test", "app", "reg.test"},
		{"capitals", []string{"Reg.Test"}, "reg.test", "app", "Reg.Test"},
		{"IPv6", []string{"[::1]:5000"}, "[0:0::1]:5000", "app", "[::1]:5000"},
		{"a name that begins the same", []string{"reg.test.evil.test", "reg.tes", "xreg.test"}, "reg.test", "app", ""},
		{"a name below", []string{"reg.test"}, "a.reg.test", "app", ""},
		{"a URL with a user is no key", []string{"https://reg.test@evil.test/"}, "reg.test", "app", ""},
		{"a namespace", []string{"reg.test", "reg.test/team"}, "reg.test", "team/app", "reg.test/team"},
		{"the longest namespace", []string{"reg.test/team", "reg.test/team/app", "reg.test"}, "reg.test", "team/app", "reg.test/team/app"},
		{"another namespace", []string{"reg.test/team"}, "reg.test", "teams/app", ""},
		{"another namespace, and the host", []string{"reg.test/team", "reg.test"}, "reg.test", "other", "reg.test"},
		{"Docker Hub by its server", []string{"https://index.docker.io/v1/"}, "registry-1.docker.io", "library/app", "https://index.docker.io/v1/"},
		{"Docker Hub by its name", []string{"https://index.docker.io/v1/"}, "docker.io", "library/app", "https://index.docker.io/v1/"},
		{"Docker Hub as Docker and podman have it", []string{"docker.io", "https://index.docker.io/v1/"}, "docker.io", "library/app", "https://index.docker.io/v1/"},
		{"Docker Hub as podman has it", []string{"docker.io"}, "registry-1.docker.io", "library/app", "docker.io"},
		{"a namespace of Docker Hub", []string{"docker.io/team", "https://index.docker.io/v1/"}, "registry-1.docker.io", "team/app", "docker.io/team"},
		{"no entry of Docker Hub's token server", []string{"https://index.docker.io/v1/"}, "auth.docker.io", "app", ""},
		{"what is no host", []string{"../reg.test", "reg.test", ""}, "../reg.test", "app", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var entries []string
			for _, k := range tt.keys {
				entries = append(entries, `"`+k+`":{"username":"`+k+`","password":"p"}`)
			}
			f := fileOf(t, `{"auths":{`+strings.Join(entries, ",")+`}}`)
			user, secret, err := f.Credentials(t.Context(), tt.host, tt.repository)
			if err != nil || user != tt.want || (secret == "p") != (tt.want != "") {
				t.Errorf("got %q, %q, %v; want the user %q", user, secret, err, tt.want)
			}
		})
	}
}

func TestEntries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, entry, user, secret, err string }{
		{name: "user and password", entry: basic("me", "a:b"), user: "me", secret: "a:b"},
		{name: "without padding", entry: `{"auth":"bWU6c2VjcmV0cw"}`, user: "me", secret: "secrets"},
		{name: "fields of their own", entry: `{"username":"me","password":"secret"}`, user: "me", secret: "secret"},
		{name: "an identity token", entry: `{"auth":"bWU6","identitytoken":"token"}`, secret: "token"},
		{name: "an empty entry", entry: `{}`},
		{name: "no base64", entry: `{"auth":"s3cr3t!!"}`, err: `FILE: auths: "reg.test": auth is not USER:PASSWORD in base64: use docker login or podman login`},
		{name: "no colon", entry: `{"auth":"czNjcjN0"}`, err: `FILE: auths: "reg.test": auth is not USER:PASSWORD in base64: use docker login or podman login`},
		{name: "no user", entry: basic("", "s3cr3t"), err: `FILE: auths: "reg.test": auth is not USER:PASSWORD in base64: use docker login or podman login`},
		{name: "a registry token", entry: `{"registrytoken":"s3cr3t"}`, err: `FILE: auths: "reg.test": has only a registrytoken, which cannot be exchanged for anything: use docker login or podman login`},
		{name: "a number for a password", entry: `{"username":"me","password":5353533}`, err: `FILE:1: auths.password is not a string, but a JSON number`},
		{name: "a text for an entry", entry: `"s3cr3t"`, err: `FILE:1: auths is not an object, but a JSON string`},
		{name: "broken", entry: "{\n\"auth\":\"x\ns3cr3t", err: `FILE:2: is not valid JSON`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := fileOf(t, `{"auths":{"reg.test":`+tt.entry+`}}`)
			user, secret, err := f.Credentials(t.Context(), "reg.test", "app")
			if user != tt.user || secret != tt.secret {
				t.Errorf("got %q, %q", user, secret)
			}
			text := ""
			if err != nil {
				text = strings.ReplaceAll(err.Error(), f.Path, "FILE")
			}
			if want := tt.err; want != "" && text != "credentials for reg.test: "+want || want == "" && err != nil {
				t.Errorf("got %s\nwant ... %s", text, want)
			}
			// A bad entry for one host is nothing to another one.
			if _, _, err := f.Credentials(t.Context(), "other.test", "app"); (err != nil) != strings.HasPrefix(tt.err, "FILE:1") && tt.name != "broken" {
				t.Errorf("another host: %v", err)
			}
		})
	}
}

// A daemon that starts says which setting names a file that is not there, and
// what follows.
func TestBeginWithoutTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "config.json")
	var warnings []string
	f := &File{Path: path, OnWarning: func(err error) { warnings = append(warnings, err.Error()) }}
	f.Begin()
	if want := "docker_config: open " + path + ": no such file or directory: registries get no credentials from the node until the file is there"; len(warnings) != 1 || warnings[0] != want {
		t.Errorf("warnings %q, want %q", warnings, want)
	}
}

// TestEmptyEntries has what Docker leaves behind where a store has the credentials:
// an entry with some counts, be it less specific.
func TestEmptyEntries(t *testing.T) {
	t.Parallel()
	f := fileOf(t, `{"auths":{"reg.test/team/app":{},"reg.test/team":{"auth":""},"https://reg.test/v1/":`+basic("me", "secret")+`,"other.test":{}}}`)
	for host, want := range map[string]string{"reg.test": "me", "other.test": ""} {
		user, _, err := f.Credentials(t.Context(), host, "team/app")
		if err != nil || user != want {
			t.Errorf("%s: got %q, %v; want %q", host, user, err, want)
		}
	}
	for host, want := range map[string]Source{"reg.test": {Entry: "https://reg.test/v1/"}, "other.test": {}} {
		if got, err := f.Source(host, "team/app"); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", host, got, err, want)
		}
	}
}

// TestReread changes the file between two questions.
func TestReread(t *testing.T) {
	t.Parallel()
	f := fileOf(t, `{"auths":{"reg.test":`+basic("one", "1")+`}}`)
	var warnings []string
	f.OnWarning = func(err error) { warnings = append(warnings, strings.ReplaceAll(err.Error(), f.Path, "FILE")) }
	ask := func(want string) {
		t.Helper()
		user, _, err := f.Credentials(t.Context(), "reg.test", "app")
		if err != nil || user != want {
			t.Errorf("got %q, %v; want %q", user, err, want)
		}
	}
	ask("one")
	writeFile(t, f.Path, `{"auths":{"reg.test":`+basic("two", "2")+`}}`, 0o600)
	ask("two")
	writeFile(t, f.Path, `{"auths":{"reg.te`, 0o600)
	ask("two")
	ask("two")
	writeFile(t, f.Path, `{"auths":{"reg.test":`+basic("six", "6")+`}}`, 0o600)
	ask("six")
	if err := os.Chmod(f.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	ask("six")
	ask("six")
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	ask("")
	want := []string{
		"FILE:1: is not valid JSON: what was read from it before is still used",
		"FILE can be read by everybody on this machine, and has passwords or tokens: chmod 600 FILE",
	}
	if strings.Join(warnings, "\n") != strings.Join(want, "\n") {
		t.Errorf("warnings: %q", warnings)
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\ufeff{}":      "begins with a byte order mark, which Docker does not read either: remove it with sed -i ",
		"\xff\xfe{\x00": "is text in UTF-16, not in UTF-8: convert it with iconv ",
	} {
		if err := fileOf(t, text).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	for _, text := range []string{"", " \n", "{}", `{"auths":null,"HttpHeaders":{},"credsStore":""}`} {
		if err := fileOf(t, text).Check(); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse reads any file and asks it for a host: nothing of a value is in an
// error.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"auths":{"reg.test":{"auth":"bWU6c2VjcmV0"}},"credHelpers":{"a":"b"},"credsStore":"c"}`), "reg.test", "app")
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":7}}}`), "docker.io", "library/app")
	f.Add([]byte(`{"auths":{"reg.test/team":{"identitytoken":"x"}}}`), "reg.test", "team/app")
	f.Fuzz(func(t *testing.T, data []byte, host, repository string) {
		const secret = "5318008731"
		data = []byte(strings.ReplaceAll(string(data), "x", secret))
		c, err := parse(data)
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v", err)
			}
			return
		}
		c.helperFor(host)
		if _, _, err := c.entryFor(host, repository); err != nil {
			for key, e := range c.Auths {
				if strings.Contains(key, secret) || strings.Contains(host, secret) {
					return
				}
				if v := e.Auth + e.IdentityToken; v != "" && strings.Contains(v, secret) && strings.Contains(err.Error(), secret) {
					t.Errorf("%v", err)
				}
			}
		}
	})
}
