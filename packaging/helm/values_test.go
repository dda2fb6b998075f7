package helm

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the README's table and packaging/kubernetes")

// schema is the part of JSON Schema that describes values.
type schema struct {
	Type        string
	Description string
	Enum        []string
	Properties  map[string]*schema
	// AdditionalProperties is false where all keys are known.
	AdditionalProperties any
	Items                *schema
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func values(t *testing.T) (s *schema, defaults map[string]any) {
	t.Helper()
	s = new(schema)
	if err := json.Unmarshal(read(t, "certsd/values.schema.json"), s); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(read(t, "certsd/values.yaml"), &defaults); err != nil {
		t.Fatal(err)
	}
	return s, defaults
}

// TestEveryKeyIsExplained compares the keys of values.yaml with those of the
// schema, which says of each what it is for.
func TestEveryKeyIsExplained(t *testing.T) {
	t.Parallel()
	s, defaults := values(t)
	explained(t, "", s, defaults)
}

// explained looks at a key and at those below it.
func explained(t *testing.T, path string, s *schema, value any) {
	t.Helper()
	if s == nil {
		t.Errorf("%s is not in the schema", path)
		return
	}
	if path != "" && len(s.Description) < 6 {
		t.Errorf("%s: %q does not say what it is for", path, s.Description)
	}
	if s.Items != nil {
		explainedItems(t, path, s.Items)
	}
	below, ok := value.(map[string]any)
	if !ok || s.Properties == nil {
		return
	}
	if s.AdditionalProperties != false {
		t.Errorf("%s: a misspelt key would be taken", path)
	}
	for key, v := range below {
		explained(t, strings.TrimPrefix(path+"."+key, "."), s.Properties[key], v)
	}
	for key, p := range s.Properties {
		if _, ok := below[key]; !ok && key != "global" && !strings.HasSuffix(path, "settings") {
			t.Errorf("%s.%s has no default", path, key)
		} else if !ok {
			explained(t, path+"."+key, p, nil)
		}
	}
}

func explainedItems(t *testing.T, path string, s *schema) {
	t.Helper()
	for key, p := range s.Properties {
		if len(p.Description) < 6 {
			t.Errorf("%s[].%s is not explained", path, key)
		}
	}
}

// TestSettings compares the settings with the files that explain them: what is not
// among them the chart says itself, and signer names a program that the image has
// not.
func TestSettings(t *testing.T) {
	t.Parallel()
	s, _ := values(t)
	for part, row := range map[string]struct {
		file string
		own  []string
	}{
		"gateway":      {"../../gateway.toml.example", []string{"root", "listen", "state", "tls_cert", "tls_key", "tls_client_ca", "signer"}},
		"imageService": {"../../cri.toml.example", []string{"root", "listen", "containerd", "containerd_config", "metrics", "signer"}},
	} {
		var want []string
		for _, m := range regexp.MustCompile(`(?m)^(\w+) = `).FindAllSubmatch(read(t, row.file), -1) {
			if key := string(m[1]); !slices.Contains(row.own, key) {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		settings := s.Properties[part].Properties["settings"].Properties
		same(t, part+".settings", want, slices.Sorted(maps.Keys(settings)))

		// And all of them are rendered by a test.
		var everything map[string]map[string]any
		if err := yaml.Unmarshal(read(t, "testdata/everything.yaml"), &everything); err != nil && everything[part] == nil {
			t.Fatal(err)
		}
		rendered, _ := everything[part]["settings"].(map[string]any)
		same(t, "testdata/everything.yaml: "+part+".settings", want, slices.Sorted(maps.Keys(rendered)))
	}
}

// TestReadme compares the README's table with the schema and the defaults.
func TestReadme(t *testing.T) {
	t.Parallel()
	s, defaults := values(t)
	var table strings.Builder
	table.WriteString("| key | default | |\n|---|---|---|\n")
	rows(&table, "", s, defaults)
	const begin, end = "<!-- values: go test -update writes them -->\n", "<!-- end of values -->"
	text := read(t, "certsd/README.md")
	before, rest, found := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed {
		t.Fatal("the README has no place for the values")
	}
	want := string(before) + begin + table.String() + end + string(after)
	kept(t, "certsd/README.md", want)
}

// rows writes a row for each key that is no group of others, and one for each
// group.
func rows(b *strings.Builder, path string, s *schema, value any) {
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[key]
		name := strings.TrimPrefix(path+"."+key, ".")
		below, _ := value.(map[string]any)
		v, ok := below[key]
		text := p.Description
		if len(p.Enum) > 0 && !strings.Contains(text, "`"+p.Enum[0]+"`") {
			text += ": `" + strings.Join(p.Enum, "`, `") + "`"
		}
		if p.Items != nil {
			text += itemsText(p.Items)
		}
		def := ""
		if ok && len(p.Properties) == 0 {
			data, _ := json.Marshal(v)
			def = "`" + string(data) + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, def, text)
		rows(b, name, p, v)
	}
}

// itemsText says what the keys of an element of a list are.
func itemsText(s *schema) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(s.Properties)) {
		b.WriteString("; `" + k + "`: " + s.Properties[k].Description)
	}
	return b.String()
}

// kept compares a file with what it is to be.
func kept(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	same(t, file+" (go test -update writes it)", want, string(read(t, file)))
}

// TestManifests holds that the plain manifests are what the chart makes of the
// values in manifests, whose first comment is theirs, too.
func TestManifests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("manifests/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		head, _, _ := strings.Cut(string(read(t, file)), "\n\n")
		text := regexp.MustCompile(`(?m)^---\n# Source: .*\n|^\s*\n`).ReplaceAllStringFunc(render(t, file), func(s string) string {
			if strings.HasPrefix(s, "---") {
				return "---\n"
			}
			return ""
		})
		text = strings.TrimPrefix(text, "---\n")
		made := "# Made by \"go test -update\" from packaging/helm. Do not edit.\n#\n" + head + "\n" + text
		kept(t, filepath.Join("../kubernetes", filepath.Base(file)), made)
	}
}
