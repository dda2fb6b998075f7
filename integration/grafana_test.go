//go:build linux

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// dashboard is what of docs/grafana.json a query needs.
type dashboard struct {
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// grafanaCmd asks a Prometheus for each query of docs/grafana.json, or for those given:
// grafana URL [QUERY...]. None may be empty, once all was scraped.
func (r *rig) grafanaCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "grafana URL [QUERY...]")
	if len(args) == 0 {
		ts.Fatalf("usage: grafana URL [QUERY...]")
	}
	for _, query := range args[1:] {
		ask(ts, args[0], query, query)
	}
	if len(args) > 1 {
		return
	}
	text, err := os.ReadFile("../docs/grafana.json")
	ts.Check(err)
	var d dashboard
	ts.Check(json.Unmarshal(text, &d))
	queries := 0
	for _, panel := range d.Panels {
		for _, t := range panel.Targets {
			queries++
			expr := strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$job", ".*", "$instance", ".*").Replace(t.Expr)
			ask(ts, args[0], panel.Title, expr)
		}
	}
	if queries < len(d.Panels) {
		ts.Fatalf("%d queries in %d panels", queries, len(d.Panels))
	}
}

// ask waits until a query is not empty.
func ask(ts *testscript.TestScript, server, title, query string) {
	for end := time.Now().Add(readyTime); ; time.Sleep(10 * pollInterval) {
		n, err := results(server, query)
		ts.Check(err)
		if n > 0 {
			ts.Logf("%s: %d series", title, n)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%q is empty: %s", title, query)
		}
	}
}

// results is how many series a query has now.
func results(server, expr string) (int, error) {
	resp, err := http.Get(server + "/api/v1/query?query=" + url.QueryEscape(expr)) //nolint:noctx // of this machine
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return len(answer.Data.Result), nil
}
