package docs

import (
	"bytes"
	"fmt"
	"go/version"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
)

// decode reads a YAML file that has no other fields than into.
func decode(t *testing.T, file string, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, file))))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// form is an issue form, with the fields that GitHub's syntax has.
type form struct {
	Name, Description, Title, Type string
	Labels, Assignees, Projects    []string
	Body                           []element
}

type element struct {
	Type, ID   string
	Attributes struct {
		Label, Description, Placeholder, Value, Render string
		Multiple                                       bool
		Default                                        *int
		Options                                        []yaml.Node
	}
	Validations struct{ Required bool }
}

// problem says what GitHub would not accept of an element.
func (e *element) problem() string {
	switch e.Type {
	case "markdown":
		if e.Attributes.Value == "" || e.ID != "" || e.Validations.Required {
			return "has a value and nothing else"
		}
		return ""
	case "input", "textarea", "dropdown", "checkboxes":
	default:
		return fmt.Sprintf("there is no type %q", e.Type)
	}
	choice := e.Type == "dropdown" || e.Type == "checkboxes"
	switch {
	case e.Attributes.Label == "":
		return "has no label"
	case !regexp.MustCompile(`^[a-zA-Z0-9_-]+$`).MatchString(e.ID):
		return fmt.Sprintf("its ID is %q", e.ID)
	case choice != (len(e.Attributes.Options) > 0):
		return "options are for dropdown and checkboxes, which need some"
	case e.Attributes.Render != "" && e.Type != "textarea":
		return "render is for a textarea"
	}
	return ""
}

// TestIssueForms holds the forms to GitHub's syntax, which shows none at all
// where one is broken, and to what they are there for.
func TestIssueForms(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../.github/ISSUE_TEMPLATE/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, file := range files {
		if filepath.Base(file) == "config.yml" {
			continue
		}
		var f form
		decode(t, file, &f)
		if f.Name == "" || f.Description == "" || len(f.Body) == 0 || names[f.Name] != "" {
			t.Errorf("%s: name %q, description %q, %d elements; the name also in %q", file, f.Name, f.Description, len(f.Body), names[f.Name])
		}
		names[f.Name] = file
		asked := false
		seen := map[string]bool{}
		for i := range f.Body {
			e := &f.Body[i]
			if p := e.problem(); p != "" {
				t.Errorf("%s: element %d: %s", file, i+1, p)
			}
			for _, key := range []string{"id " + e.ID, "label " + e.Attributes.Label} {
				if e.Type != "markdown" && seen[key] {
					t.Errorf("%s: %s is there twice", file, key)
				}
				seen[key] = true
			}
			if e.ID == "check" {
				asked = e.Attributes.Render == "json" && strings.Contains(e.Attributes.Description, "`certsd check --json REGISTRY/REPOSITORY")
			}
		}
		if !asked {
			t.Errorf("%s does not ask for certsd check --json", file)
		}
	}
	if len(names) < 2 {
		t.Errorf("the forms are %v", names)
	}
	testContacts(t)
}

func testContacts(t *testing.T) {
	t.Helper()
	var config struct {
		Blank bool                                `yaml:"blank_issues_enabled"`
		Links []struct{ Name, URL, About string } `yaml:"contact_links"`
	}
	decode(t, "../.github/ISSUE_TEMPLATE/config.yml", &config)
	for _, l := range config.Links {
		if l.Name == "" || l.About == "" || !strings.HasPrefix(l.URL, "https://") {
			t.Errorf("config.yml: %+v", l)
		}
		if _, document, ok := strings.Cut(l.URL, "/blob/main/"); ok {
			if _, err := os.Stat("../" + document); err != nil {
				t.Errorf("config.yml: %v", err)
			}
		}
	}
}

// update is an entry of dependabot.yml, with the fields that are used here.
type update struct {
	Ecosystem string `yaml:"package-ecosystem"`
	Directory string
	Schedule  struct{ Interval string }
	Limit     *int `yaml:"open-pull-requests-limit"`
	Groups    map[string]struct{ Patterns []string }
	Ignore    []struct {
		Name     string   `yaml:"dependency-name"`
		Types    []string `yaml:"update-types"`
		Versions []string
	}
}

func (u *update) ignores(name string) bool {
	for _, i := range u.Ignore {
		if i.Name == name && len(i.Types)+len(i.Versions) == 0 {
			return true
		}
	}
	return false
}

// TestDependencyUpdates holds that each module gets updates, that what is
// grouped or ignored is required there, and that nobody but "make bump" moves
// the containerd of a release line.
func TestDependencyUpdates(t *testing.T) {
	t.Parallel()
	var config struct {
		Version int
		Updates []update
	}
	decode(t, "../.github/dependabot.yml", &config)
	lines, err := filepath.Glob("../cmd/containerd/*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"github-actions /", "gomod /", "gomod /packaging/helm"}
	for _, line := range lines {
		want = append(want, "gomod "+strings.TrimPrefix(filepath.Dir(line), ".."))
	}
	var got []string
	for _, u := range config.Updates {
		got = append(got, u.Ecosystem+" "+u.Directory)
		if u.Schedule.Interval == "" {
			t.Errorf("%s %s: no schedule", u.Ecosystem, u.Directory)
		}
		if u.Ecosystem != "gomod" {
			continue
		}
		if strings.HasPrefix(u.Directory, "/cmd/") && (u.Limit == nil || *u.Limit != 0 || !u.ignores("github.com/containerd/containerd/v2")) {
			t.Errorf("%s: make bump alone moves its containerd, and what that is built with", u.Directory)
		}
		required := requirements(t, filepath.Join("..", u.Directory, "go.mod"))
		for _, i := range u.Ignore {
			if !slices.Contains(required, i.Name) {
				t.Errorf("%s requires no %s, which is ignored", u.Directory, i.Name)
			}
		}
		for name, group := range u.Groups {
			for _, pattern := range group.Patterns {
				if !slices.ContainsFunc(required, func(p string) bool { return strings.HasPrefix(p, strings.TrimSuffix(pattern, "*")) }) {
					t.Errorf("%s: group %s: nothing is required that is like %s", u.Directory, name, pattern)
				}
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if config.Version != 2 || !slices.Equal(got, want) {
		t.Errorf("version %d, updates of\n%q, want\n%q", config.Version, got, want)
	}
}

func requirements(t *testing.T, file string) []string {
	t.Helper()
	m, err := modfile.Parse(file, []byte(read(t, file)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, r := range m.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths
}

// TestWorkflows holds that CI is what .ci/run does and no more than that, with
// nothing but its pinned actions beside it, and with a Go that builds all lines;
// that a release is tested first, and that nothing but its draft may write. packages
// has what takes too long for every change. The syntax is checked by "make lint".
func TestWorkflows(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../.github/workflows/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("workflows: %v, %v", files, err)
	}
	for _, file := range files {
		var w struct {
			Permissions map[string]string
			Jobs        map[string]struct {
				Needs       string
				Permissions map[string]string
				Container   struct{ Image string }
				Steps       []struct{ Run, Uses string }
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s: it may %v", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			runs, images := 0, []string{}
			if job.Container.Image != "" {
				images = append(images, job.Container.Image)
			}
			for _, step := range job.Steps {
				images = append(images, regexp.MustCompile(`golang:\S+`).FindAllString(step.Run, -1)...)
				if step.Run == ".ci/run" {
					runs++
				}
				if step.Uses != "" && !regexp.MustCompile(`^[\w-]+/[\w-]+@[0-9a-f]{40}$`).MatchString(step.Uses) {
					t.Errorf("%s: %s: %s is not pinned to a commit", file, name, step.Uses)
				}
			}
			switch {
			case path.Base(file) == "release.yml" && name == "draft":
				if runs != 0 || job.Needs != "test" || len(job.Permissions) != 1 || job.Permissions["contents"] != "write" {
					t.Errorf("%s: %s needs %q and may %v", file, name, job.Needs, job.Permissions)
				}
			case path.Base(file) == "packages.yml" && runs == 0 && len(job.Permissions) == 0:
			case runs != 1 || len(job.Permissions) > 0:
				t.Errorf("%s: %s runs .ci/run %d times, and may %v", file, name, runs, job.Permissions)
			}
			if len(images) == 0 {
				t.Errorf("%s: nobody knows with which Go %s builds", file, name)
			}
			for _, image := range images {
				has := "go" + strings.TrimPrefix(strings.TrimSuffix(path.Base(image), "-bookworm"), "golang:")
				for _, need := range toolchains(t) {
					if version.Compare(has, need) < 0 {
						t.Errorf("%s: %s has %s, and a module needs %s", file, name, has, need)
					}
				}
			}
		}
	}
}

// toolchains are the versions of Go that the modules need.
func toolchains(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../cmd/containerd/*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var needs []string
	for _, file := range append(files, "../go.mod") {
		m, err := modfile.Parse(file, []byte(read(t, file)), nil)
		if err != nil {
			t.Fatal(err)
		}
		needs = append(needs, "go"+m.Go.Version)
	}
	return needs
}

// TestEveryDocumentIsChosen holds that the page chooser leads to every document,
// and the README to the page chooser.
func TestEveryDocumentIsChosen(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	chooser := read(t, "README.md")
	for _, file := range files {
		if file != "README.md" && !strings.Contains(chooser, "]("+file+")") {
			t.Errorf("docs/README.md does not lead to %s", file)
		}
	}
	if !strings.Contains(read(t, "../README.md"), "](docs/README.md)") {
		t.Error("the README does not lead to docs/README.md")
	}
}

// TestScreenshotsAreKept: the pictures that the page's test makes are where CI keeps
// them from.
func TestScreenshotsAreKept(t *testing.T) {
	t.Parallel()
	m := regexp.MustCompile(`(?m)^env SHOTS=\$REPOSITORY/(\S+)$`).FindStringSubmatch(read(t, "../integration/testdata/status-page.txtar"))
	if m == nil {
		t.Fatal("the scenario has no SHOTS")
	}
	var w struct {
		Jobs map[string]struct {
			Steps []struct {
				Uses, If string
				With     map[string]string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../.github/workflows/ci.yml")), &w); err != nil {
		t.Fatal(err)
	}
	for _, step := range w.Jobs["test"].Steps {
		if strings.HasPrefix(step.Uses, "actions/upload-artifact@") {
			if step.With["path"] != m[1]+"/*.png" || step.With["if-no-files-found"] != "error" || step.With["include-hidden-files"] != "true" || step.If != "always()" {
				t.Errorf("%s is made, and %+v is kept", m[1], step)
			}
			return
		}
	}
	t.Error("CI keeps nothing")
}
