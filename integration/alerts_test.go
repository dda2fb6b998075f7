//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const alertsUsage = "alerts [-after TIME] FILE LATER [HOST=ALERT...]"

// sample is a line of a metrics endpoint that is ours.
var sample = regexp.MustCompile(`(?m)^(certsd_\w+\{[^\n]*\}) ([0-9.e+]+)$`)

// alertsCmd lets Prometheus's own tool say which alerts would fire if what
// happened between two looks at the metrics went on: the series of the files
// are continued, each minute, as they grew from the first to the second. What
// counts is what fires after 35 minutes, or the time that is said.
func (r *rig) alertsCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, alertsUsage)
	after := 35 * time.Minute
	if len(args) > 1 && args[0] == "-after" {
		var err error
		after, err = time.ParseDuration(args[1])
		ts.Check(err)
		args = args[2:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: %s", alertsUsage)
	}
	rules, err := filepath.Abs("../docs/alerts.yaml")
	ts.Check(err)
	type series struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	type expected struct {
		Labels string `json:"labels"`
		Value  int    `json:"value"`
	}
	var input []series
	before, later := samples(ts, args[0]), samples(ts, args[1])
	for _, name := range slices.Sorted(maps.Keys(later)) {
		value, grew := later[name], later[name]-before[name]
		if strings.Contains(name, "_timestamp_seconds{") {
			// promtool's time begins at zero.
			value, grew = value-float64(time.Now().Unix()), 0
		}
		input = append(input, series{name, fmt.Sprintf("%v+%vx%d", value, grew, int(after.Minutes())+5)})
	}
	want := []expected{}
	for _, arg := range args[2:] {
		host, alert, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("usage: %s", alertsUsage)
		}
		want = append(want, expected{fmt.Sprintf("{alertname=%q, host=%q}", alert, host), 1})
	}
	// JSON is YAML, too.
	test, err := json.Marshal(map[string]any{
		"rule_files": []string{rules}, "evaluation_interval": "1m",
		"tests": []any{map[string]any{
			"interval": "1m", "input_series": input,
			"promql_expr_test": []any{map[string]any{
				"expr": `count by (alertname, host) (ALERTS{alertstate="firing"})`, "eval_time": fmt.Sprintf("%dm", int(after.Minutes())), "exp_samples": want,
			}},
		}},
	})
	ts.Check(err)
	file := filepath.Join(r.work, "alerts-test.json")
	ts.Check(os.WriteFile(file, test, 0o644))
	out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput() //nolint:noctx // ends by itself
	ts.Logf("%s", out)
	ts.Check(err)
}

func samples(ts *testscript.TestScript, file string) map[string]float64 {
	found := map[string]float64{}
	for _, m := range sample.FindAllStringSubmatch(ts.ReadFile(file), -1) {
		value, err := strconv.ParseFloat(m[2], 64)
		ts.Check(err)
		found[m[1]] = value
	}
	return found
}
