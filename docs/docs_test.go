package docs

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	containerd "github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/plugin"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#]*)#?([^)]*)\)`)
	scenario := regexp.MustCompile(`[\w-]+\.txtar`)
	texts := documents(t)
	for file, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: dead link: %v", file, err)
			}
			if m[2] != "" && !slices.Contains(anchors(texts[target]), m[2]) {
				t.Errorf("%s: %s has no heading %q", file, target, m[2])
			}
		}
		for _, name := range scenario.FindAllString(text, -1) {
			_, err := os.Stat(filepath.Join("../integration/testdata", name))
			_, stock := os.Stat(filepath.Join("../integration/testdata/stock", name))
			if err != nil && stock != nil {
				t.Errorf("%s: no such scenario: %v", file, err)
			}
		}
	}
}

// anchors are the headings of a document as GitHub makes them targets of links.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(words, " ", "-"))
	}
	return all
}

// TestContainerdConfig decodes what is shown of containerd's configuration
// into what it is for.
func TestContainerdConfig(t *testing.T) {
	t.Parallel()
	examples := map[string]string{"config.toml.example": read(t, "../config.toml.example")}
	for file, text := range documents(t) {
		for _, block := range blocks(text) {
			if strings.HasPrefix(block, "version = ") {
				examples[file] = block
			}
		}
	}
	if examples["../README.md"] == "" {
		t.Error("the README has no configuration")
	}
	for file, text := range examples {
		var config struct {
			Version         int                       `toml:"version"`
			DisabledPlugins []string                  `toml:"disabled_plugins"`
			Plugins         map[string]map[string]any `toml:"plugins"`
		}
		if err := strictly(text, &config); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, uri := range config.DisabledPlugins {
			if _, found := sections()[uri]; !found {
				t.Errorf("%s: there is no plugin %s to disable", file, uri)
			}
		}
		for name, section := range config.Plugins {
			target, found := sections()[name]
			if !found { // CRI's, which the scenarios start
				continue
			}
			body, err := toml.Marshal(section)
			if err != nil {
				t.Fatal(err)
			}
			if err := strictly(string(body), target); err != nil {
				t.Errorf("%s: [plugins.%q]: %v", file, name, err)
			}
		}
	}
}

// sections are new configurations of the plugins that are linked in.
func sections() map[string]any {
	all := map[string]any{}
	for _, r := range registry.Graph(func(*containerd.Registration) bool { return false }) {
		all[r.URI()] = nil
		if r.Config != nil {
			all[r.URI()] = reflect.New(reflect.TypeOf(r.Config).Elem()).Interface()
		}
	}
	return all
}

func strictly(text string, target any) error {
	return toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields().Decode(target)
}

func TestHostsTOML(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("CA")
	pair := ca.Client("client")
	found := 0
	for file, text := range documents(t) {
		for _, block := range blocks(text) {
			if !strings.Contains(block, "server = \"") && !strings.Contains(block, "client = [") {
				continue
			}
			found++
			files := fstest.MapFS{"hosts.toml": {Data: []byte(block)}}
			if strings.Contains(block, "client = ") {
				files["ca.crt"] = &fstest.MapFile{Data: ca.PEM}
				files["tls.crt"] = &fstest.MapFile{Data: pair.CertPEM}
				files["tls.key"] = &fstest.MapFile{Data: pair.KeyPEM}
			}
			if _, err := hostdir.Load(files, hostdir.LoadOptions{Path: file}); err != nil {
				t.Errorf("%v in\n%s", err, block)
			}
		}
	}
	if found == 0 {
		t.Error("no hosts.toml is shown")
	}
}

func TestConfigurationIsComplete(t *testing.T) {
	t.Parallel()
	text := read(t, "configuration.md")

	keys := map[string]string{}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[plugin.Config]()) {
		if !field.Anonymous {
			keys[field.Tag.Get("toml")] = ""
		}
	}
	same(t, "keys", keys, firstColumn(section(text, "## `[plugins.")))

	metrics := map[string]string{}
	made := regexp.MustCompile(`NewLabeled(Counter|Gauge)\("(\w+)", "[^"]*"(?:, metrics.Seconds)?, (.*)\)`)
	for _, m := range made.FindAllStringSubmatch(read(t, "../internal/telemetry/metrics.go"), -1) {
		suffix := map[string]string{"Counter": "_total", "Gauge": "_seconds"}[m[1]]
		metrics["certsd_"+m[2]+suffix] = strings.ReplaceAll(m[3], `"`, "")
	}
	// Those that are no plain counters have collectors of their own.
	gauge := regexp.MustCompile(`(?s)(?:NewDesc\(|Name: )"(certsd_\w+)".*?\[\]string\{(.*?)\}`)
	for _, file := range []string{"expiry.go", "ends.go"} {
		found := gauge.FindAllStringSubmatch(read(t, "../internal/telemetry/"+file), -1)
		if found == nil {
			t.Fatalf("internal/telemetry/%s names no metric", file)
		}
		for _, m := range found {
			metrics[m[1]] = strings.ReplaceAll(m[2], `"`, "")
		}
	}
	documented := firstColumn(section(text, "## Metrics"))
	same(t, "metrics", metrics, documented)
	for name, labels := range metrics {
		for label := range strings.SplitSeq(labels, ", ") {
			if !strings.Contains(documented[name], "`"+label+"`") {
				t.Errorf("%s: the label %s is not documented", name, label)
			}
		}
	}

	codes := map[string]string{}
	for _, m := range regexp.MustCompile(`\texit\w+ += (\d+)`).FindAllStringSubmatch(read(t, "../cmd/certsd/main.go"), -1) {
		codes[m[1]] = ""
	}
	same(t, "exit codes", codes, firstColumn(section(text, "## Exit codes")))
}

// TestMessages looks for the messages that are explained in the sources.
func TestMessages(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, dir := range []string{"certsd", "certsd/hostdir", "certsd/hostname", "certsd/hoststoml", "certsd/trail", "resolver", "v1compat", "internal/handshake", "internal/pemfile", "internal/serverfault", "internal/telemetry", "plugin"} {
		files, err := filepath.Glob("../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				all.WriteString(read(t, file))
			}
		}
	}
	// A comment says nothing to anybody, and a literal may go on in the next line.
	sources := regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAllString(all.String(), "")
	sources = regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(sources, "")
	for _, file := range []string{"certsd.md", "registry-v1.md"} {
		table := section(read(t, file), "| message |")
		rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
		if len(rows) == 0 {
			t.Errorf("%s explains no message", file)
		}
		for _, row := range rows {
			for part := range strings.SplitSeq(row[1], "…") {
				if !strings.Contains(sources, part) {
					t.Errorf("%s: nobody says %q", file, part)
				}
			}
		}
	}
}

// TestArchitecture compares the table of internal packages with the directory.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	packages, err := os.ReadDir("../internal")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, p := range packages {
		want = append(want, p.Name())
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z0-9, ]+) \|`).FindAllStringSubmatch(read(t, "architecture.md"), -1) {
		got = append(got, strings.Split(m[1], ", ")...)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("internal and architecture.md (-directory +document):\n%s", diff)
	}
}

// TestScripts compares the files shown in registry-v1.md with those a scenario
// runs.
func TestScripts(t *testing.T) {
	t.Parallel()
	scenario := read(t, "../integration/testdata/v1-move.txtar")
	found := 0
	for _, block := range blocks(read(t, "registry-v1.md")) {
		if strings.HasPrefix(block, "#!") || strings.Contains(block, "<Location") {
			found++
			if !strings.Contains(scenario, block) {
				t.Errorf("not what the scenario runs:\n%s", block)
			}
		}
	}
	if found != 3 {
		t.Errorf("%d files are shown, want 3", found)
	}
}

// TestMovingRecipe compares the commands shown in moving.md with those that the
// scenario runs, but for the first block: there names are given.
func TestMovingRecipe(t *testing.T) {
	t.Parallel()
	scenario := read(t, "../integration/testdata/copy-v1.txtar")
	shown := blocks(read(t, "moving.md"))
	if len(shown) != 9 {
		t.Fatalf("%d blocks are shown, want 9", len(shown))
	}
	for _, block := range shown[1:] {
		if !strings.Contains(scenario, " --\n"+block+"-- ") {
			t.Errorf("not what the scenario runs:\n%s", block)
		}
	}
}

// documents are the Markdown files of the repository by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../integration/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			texts[file] = read(t, file)
		}
	}
	return texts
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// blocks are the indented blocks of a document, without their indentation.
func blocks(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)(?:^(?: {4}.*)?\n)+`).FindAllString(text, -1) {
		if block := strings.Trim(regexp.MustCompile(`(?m)^ {4}`).ReplaceAllString(m, ""), "\n"); block != "" {
			all = append(all, block+"\n")
		}
	}
	return all
}

// section is what follows a line that begins with start, up to the next
// heading.
func section(text, start string) string {
	_, rest, _ := strings.Cut("\n"+text, "\n"+start)
	rest, _, _ = strings.Cut(rest, "\n## ")
	return rest
}

// firstColumn has the rows of the tables by their first cell, a name or a
// number.
func firstColumn(text string) map[string]string {
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `?([a-z0-9_]+)`? \\|(.*)$").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = m[2]
	}
	for _, head := range []string{"key", "metric", "code"} {
		delete(rows, head)
	}
	return rows
}

func same(t *testing.T, what string, code, document map[string]string) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(code)), slices.Sorted(maps.Keys(document))); diff != "" {
		t.Errorf("%s in the code and in configuration.md (-code +document):\n%s", what, diff)
	}
}
