package docs

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// TestDashboard reads docs/grafana.json the way Grafana does, as far as that goes
// without it: each panel has its place and a query, of metrics and labels there are.
func TestDashboard(t *testing.T) {
	t.Parallel()
	var d struct {
		UID           string
		Title         string
		SchemaVersion int
		Templating    struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			ID          int
			Type        string
			Title       string
			Description string
			Datasource  struct{ Type, UID string }
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct {
				RefID, Expr string
				Datasource  struct{ Type, UID string }
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	variables := map[string]bool{"__rate_interval": true, "__range": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 36 || !variables["datasource"] || len(d.Panels) == 0 {
		t.Errorf("%+v", d)
	}
	metrics := firstColumn(section(read(t, "configuration.md"), "## Metrics"))
	ids, taken, used := map[int]bool{}, map[[2]int]string{}, map[string]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q lacks something, or its number is another's", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q is where %q is, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		for _, q := range p.Targets {
			names := regexp.MustCompile(`certsd_\w+`).FindAllString(q.Expr, -1)
			if len(names) == 0 || q.RefID == "" || q.Datasource.UID != "${datasource}" {
				t.Errorf("%q asks for nothing: %s", p.Title, q.Expr)
			}
			for _, name := range names {
				used[name] = true
				if _, ok := metrics[name]; !ok {
					t.Errorf("%q: there is no metric %s", p.Title, name)
				}
			}
			for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !variables[m[1]] {
					t.Errorf("%q: there is no variable %s", p.Title, m[1])
				}
			}
			for _, m := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(q.Expr, -1) {
				for label := range strings.SplitSeq(m[1], ", ") {
					if !strings.Contains(metrics[names[0]], "`"+label+"`") {
						t.Errorf("%q: %s has no label %s", p.Title, names[0], label)
					}
				}
			}
		}
	}
	for name := range metrics {
		if !used[name] {
			t.Errorf("%s is in no panel", name)
		}
	}
}
