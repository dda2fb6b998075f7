package v1compat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// configOf is the OCI config of an image with one layer.
func configOf(t testing.TB, doc string) (string, []error) {
	t.Helper()
	var warnings []error
	c := &Converter{Hooks: Hooks{OnWarning: func(err error) { warnings = append(warnings, err) }}}
	img := &Image{Entries: []Entry{{ID: id1, JSON: []byte(doc)}}}
	docs, err := readDocuments(img, 1)
	if err != nil {
		t.Fatal(err)
	}
	v := &conversion{Converter: c, img: img, docs: docs}
	body, err := v.config([]outcome{{diffID: "sha256:d"}})
	if err != nil {
		t.Fatal(err)
	}
	return string(body), warnings
}

const id1 = "1111111111111111111111111111111111111111111111111111111111111111"

func TestRuntimeConfig(t *testing.T) {
	t.Parallel()
	rows := []struct{ name, config, want string }{
		{"null", `null`, `{}`},
		{"empty", `{}`, `{}`},
		{"everything that OCI has", `{
			"User": "www", "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Env": ["PATH=/bin", "EMPTY="],
			"Entrypoint": ["/entry"], "Cmd": ["a", "b c"], "Volumes": {"/data": {}}, "WorkingDir": "/srv",
			"Labels": {"b": "2", "a": "1"}, "StopSignal": "SIGINT"}`, `{
			"User": "www", "ExposedPorts": {"53/udp": {}, "80/tcp": {}}, "Env": ["PATH=/bin", "EMPTY="],
			"Entrypoint": ["/entry"], "Cmd": ["a", "b c"], "Volumes": {"/data": {}}, "WorkingDir": "/srv",
			"Labels": {"a": "1", "b": "2"}, "StopSignal": "SIGINT"}`},
		{"what only Docker has and keeps", `{"OnBuild": ["RUN make"], "Shell": ["/bin/ash", "-c"],
			"Healthcheck": {"Test": ["CMD", "true"], "Interval": 5000000000, "Retries": 3}}`, `{"OnBuild": ["RUN make"], "Shell": ["/bin/ash", "-c"],
			"Healthcheck": {"Test": ["CMD", "true"], "Interval": 5000000000, "Retries": 3}}`},
		{"facts about the host that built it", `{"Hostname": "a1b2", "Domainname": "example", "Memory": 1, "MemorySwap": -1,
			"CpuShares": 1, "AttachStdin": false, "Tty": true, "OpenStdin": false, "StdinOnce": false, "Image": "base",
			"NetworkDisabled": false, "MacAddress": "", "VolumesFrom": ""}`, `{}`},
		{"null maps and lists", `{"ExposedPorts": null, "Env": null, "Cmd": null, "Entrypoint": null, "Volumes": null,
			"Labels": null, "OnBuild": null, "Healthcheck": null, "PortSpecs": null, "User": null}`, `{}`},
		{"commands as strings", `{"Cmd": "echo a b", "Entrypoint": "/entry"}`, `{"Cmd": ["echo a b"], "Entrypoint": ["/entry"]}`},
		{"an entrypoint that resets", `{"Entrypoint": [""], "Cmd": []}`, `{"Entrypoint": [""]}`},
		{"environment without =", `{"Env": ["HOME", "A=b", 5, null, {}]}`, `{"Env": ["A=b"]}`},
		{"environment without a name", `{"Env": ["=a", "A=", "B=\u0000"]}`, `{"Env": ["A="]}`},
		{"lists for sets", `{"ExposedPorts": ["80/tcp"], "Volumes": ["/data", ""]}`, `{"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}}`},
		{"sets with odd values", `{"ExposedPorts": {"80/tcp": null}, "Volumes": {"/data": {"x": 1}}}`, `{"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}}`},
		{
			"port specs", `{"PortSpecs": ["80", "8080:443", ":22", "127.0.0.1:8080:81/tcp", "127.0.0.1::82", "53/udp", "9/SCTP"]}`,
			`{"ExposedPorts": {"22/tcp": {}, "443/tcp": {}, "53/udp": {}, "80/tcp": {}, "81/tcp": {}, "82/tcp": {}, "9/sctp": {}}}`,
		},
		{"port specs that are none", `{"PortSpecs": ["", "0", "70000", "a", "80/icmp", "x:80", "1:2:3:4", "-1", "99999:80", null]}`, `{}`},
		{"port specs and exposed ports", `{"PortSpecs": ["80"], "ExposedPorts": {"81/tcp": {}}}`, `{"ExposedPorts": {"80/tcp": {}, "81/tcp": {}}}`},
		{"a numeric user", `{"User": 1000}`, `{"User": "1000"}`},
		{"other spellings", `{"cmd": ["sh"], "ENV": ["A=b"]}`, `{"Cmd": ["sh"], "Env": ["A=b"]}`},
		{"wrong kinds", `{"Cmd": {"a": 1}, "Env": true, "Volumes": 5, "Labels": ["a"], "User": [], "Healthcheck": "x"}`, `{}`},
		{"labels of other kinds", `{"Labels": {"a": 1, "b": null, "c": {}}}`, `{"Labels": {"a": "1", "b": "", "c": ""}}`},
		{"a healthcheck without test", `{"Healthcheck": {"Interval": 5}}`, `{}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			body, warnings := configOf(t, `{"config": `+row.config+`}`)
			var got struct{ Config any }
			var want any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(row.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.Config); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if odd := strings.HasPrefix(row.name, "environment without"); odd != (len(warnings) == 2) || !odd && len(warnings) != 0 {
				t.Errorf("warnings: %v", warnings)
			}
		})
	}
}

func TestContainerConfig(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name, doc string
		want      []string
		warnings  int
	}{
		{"not used beside config", `{"config": {}, "container_config": {"Cmd": ["x"]}}`, nil, 0},
		{"used without config", `{"container_config": {"Cmd": ["x"]}}`, []string{"x"}, 1},
		{"used with a null config", `{"config": null, "container_config": {"Cmd": ["x"]}}`, []string{"x"}, 1},
		{"an instruction is no command", `{"container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) CMD [\"x\"]"]}}`, nil, 1},
		{"neither", `{}`, nil, 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			body, warnings := configOf(t, row.doc)
			var got ocispec.Image
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got.Config.Cmd); diff != "" || len(warnings) != row.warnings {
				t.Errorf("%d warnings; command (-want +got):\n%s", len(warnings), diff)
			}
		})
	}
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	rows := []struct {
		doc, fallback string
		want          ocispec.Platform
	}{
		{`{}`, "", ocispec.Platform{Architecture: "amd64", OS: "linux"}},
		{`{}`, "arm64", ocispec.Platform{Architecture: "arm64", OS: "linux"}},
		{`{"architecture": "amd64", "os": "linux"}`, "arm64", ocispec.Platform{Architecture: "amd64", OS: "linux"}},
		{`{"architecture": "x86_64"}`, "", ocispec.Platform{Architecture: "amd64", OS: "linux"}},
		{`{"architecture": "X86-64 ", "os": "Linux"}`, "", ocispec.Platform{Architecture: "amd64", OS: "linux"}},
		{`{"architecture": "i386"}`, "", ocispec.Platform{Architecture: "386", OS: "linux"}},
		{`{"architecture": "i686"}`, "", ocispec.Platform{Architecture: "386", OS: "linux"}},
		{`{"architecture": "aarch64"}`, "", ocispec.Platform{Architecture: "arm64", OS: "linux"}},
		{`{"architecture": "armv7l"}`, "", ocispec.Platform{Architecture: "arm", Variant: "v7", OS: "linux"}},
		{`{"architecture": "armhf"}`, "", ocispec.Platform{Architecture: "arm", Variant: "v7", OS: "linux"}},
		{`{"architecture": "armel"}`, "", ocispec.Platform{Architecture: "arm", Variant: "v6", OS: "linux"}},
		{`{"architecture": "arm", "variant": "v6"}`, "", ocispec.Platform{Architecture: "arm", Variant: "v6", OS: "linux"}},
		{`{"architecture": "s390x", "os": 5}`, "", ocispec.Platform{Architecture: "s390x", OS: "5"}},
		{
			`{"os": "windows", "os.version": "10.0.14393", "os.features": ["win32k"]}`, "",
			ocispec.Platform{Architecture: "amd64", OS: "windows", OSVersion: "10.0.14393", OSFeatures: []string{"win32k"}},
		},
	}
	for _, row := range rows {
		doc, err := parseDocument([]byte(row.doc))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(row.want, doc.platform(row.fallback)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.doc, diff)
		}
	}
}

func TestCreated(t *testing.T) {
	t.Parallel()
	rows := map[string]string{
		`"2013-06-13T14:03:50.821769-07:00"`:     "2013-06-13T21:03:50.821769Z",
		`"2014-10-01T20:46:08Z"`:                 "2014-10-01T20:46:08Z",
		`"1970-01-01T00:00:00Z"`:                 "1970-01-01T00:00:00Z",
		`"2013-06-13T14:03:50.821769"`:           "2013-06-13T14:03:50.821769Z",
		`"2013-06-13T14:03:50-0700"`:             "2013-06-13T21:03:50Z",
		`"2013-06-13 14:03:50.8+02:00"`:          "2013-06-13T12:03:50.8Z",
		`"2013-06-13 14:03:50.821769 -0700 PDT"`: "2013-06-13T21:03:50.821769Z",
		`" 2013-06-13 "`:                         "2013-06-13T00:00:00Z",
		`"0001-01-01T00:00:00Z"`:                 "",
		`"0001-01-01T00:00:00-07:00"`:            "",
		`"9999-12-31T23:59:59-07:00"`:            "",
		`"yesterday"`:                            "",
		`""`:                                     "",
		`null`:                                   "",
		`1371157430`:                             "",
		`{}`:                                     "",
	}
	for raw, want := range rows {
		body, _ := configOf(t, `{"created": `+raw+`}`)
		var got struct {
			Created string `json:"created"`
			History []struct {
				Created string `json:"created"`
			} `json:"history"`
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if got.Created != want || got.History[0].Created != want {
			t.Errorf("%s became %q and %q, want %q", raw, got.Created, got.History[0].Created, want)
		}
		if want == "" && strings.Contains(body, `"created"`) {
			t.Errorf("%s is in the config: %s", raw, body)
		}
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	body, _ := configOf(t, `{"created": "2014-10-01T20:46:08Z", "author": "A. U. Thor", "comment": "first",
		"container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file:1 in /"]}, "config": {}}`)
	const want = `{"created":"2014-10-01T20:46:08Z","author":"A. U. Thor","architecture":"amd64","os":"linux","config":{},` +
		`"rootfs":{"type":"layers","diff_ids":["sha256:d"]},"history":[{"created":"2014-10-01T20:46:08Z",` +
		`"created_by":"/bin/sh -c #(nop) ADD file:1 in /","author":"A. U. Thor","comment":"first"}]}`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestBadImages(t *testing.T) {
	t.Parallel()
	id2 := strings.Repeat("2", 64)
	rows := []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"no entries", nil, "0 entries"},
		{"too many entries", make([]Entry, 257), "257 entries"},
		{"not JSON", []Entry{{ID: id1, JSON: []byte("<html>")}}, "not a JSON object"},
		{"a list", []Entry{{ID: id1, JSON: []byte("[]")}}, "not a JSON object"},
		{"null", []Entry{{ID: id1, JSON: []byte("null")}}, "not a JSON object"},
		{"an id that is none", []Entry{{ID: "../../etc/passwd", JSON: []byte("{}")}}, "not an image id"},
		{"an id of capitals", []Entry{{ID: strings.Repeat("A", 64), JSON: []byte("{}")}}, "not an image id"},
		{"another id in the JSON", []Entry{{ID: id1, JSON: []byte(`{"id": "` + id2 + `"}`)}}, "it has the id"},
		{"another parent in the JSON", []Entry{{ID: id1, JSON: []byte(`{}`)}, {ID: id2, JSON: []byte(`{"parent": "` + id2 + `"}`)}}, "it has the parent"},
		{"a base with a parent", []Entry{{ID: id1, JSON: []byte(`{"parent": "` + id2 + `"}`)}}, "it has the parent"},
		{"a config larger than the limit", []Entry{{ID: id1, JSON: []byte(`{"author": "` + strings.Repeat("a", 9<<20) + `"}`), Open: streamOf(nil)}}, "limit"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := localStore(t)
			_, err := (&Converter{Store: store}).Convert(t.Context(), &Image{Registry: "reg", Repository: "repo", Entries: row.entries})
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "convert reg/repo: ") {
				t.Errorf("error %v, want %q", err, row.want)
			}
			if row.want != "limit" && !errdefs.IsInvalidArgument(err) {
				t.Errorf("%v is of another class", err)
			}
		})
	}
	if _, err := (&Converter{}).Convert(t.Context(), imageOf(nil)); err == nil {
		t.Error("a converter without a store converts")
	}
}

func FuzzImageJSON(f *testing.F) {
	f.Add([]byte(`{"id":"` + id1 + `","created":"2013-06-13T14:03:50.8-07:00","config":{"Cmd":"sh","PortSpecs":["80:80"],"Env":["A"]},"architecture":"x86_64"}`))
	f.Add([]byte(`{"container_config":{"Cmd":null,"Volumes":{"/a":{}},"Healthcheck":{"Test":["NONE"]}},"os.features":["a"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		img := &Image{Entries: []Entry{{ID: id1, JSON: body}}}
		docs, err := readDocuments(img, 1)
		if err != nil {
			return
		}
		v := &conversion{Converter: &Converter{}, img: img, docs: docs}
		one, err := v.config([]outcome{{diffID: "sha256:d"}})
		if err != nil {
			t.Fatal(err)
		}
		var config ocispec.Image
		if err := json.Unmarshal(one, &config); err != nil {
			t.Fatalf("%v: %s", err, one)
		}
		if two, _ := v.config([]outcome{{diffID: "sha256:d"}}); string(one) != string(two) {
			t.Errorf("%s is %s at another time", one, two)
		}
	})
}
