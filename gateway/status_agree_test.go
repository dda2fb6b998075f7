package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/status"
)

// TestAllThatShowTheStatusAgree: JSON, page, table and metrics, about the same pull.
func TestAllThatShowTheStatusAgree(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	u.push(t, "team/app:1", 1)
	g := newGateway(t, observed, u)
	if a := g.do(t, http.MethodGet, "/v2/"+u.host+"/team/app/manifests/1"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	st := gatewayStatus(t, g)
	reg := find(t, st, u.host)
	page := string(g.do(t, http.MethodGet, "/status?q="+strings.SplitN(u.host, ":", 2)[1]).body)
	metrics := string(g.do(t, http.MethodGet, "/metrics", tokenHeader, "").body)
	var table strings.Builder
	must(t, status.Tell(&table, []*status.Status{st}, 2000))
	article := regexp.MustCompile(`(?s)<article data-registry="` + regexp.QuoteMeta(u.host) + `">.*?</article>`).FindString(page)
	for _, id := range reg.Endpoints[0].Identities {
		series := fmt.Sprintf(`certsd_identity_expiry_timestamp_seconds{host=%q,identity=%q} `, u.host, id.Name)
		if value := valueOf(metrics, series); value != float64(id.NotAfter.Unix()) {
			t.Errorf("%s%v, and %d as JSON", series, value, id.NotAfter.Unix())
		}
		series = fmt.Sprintf(`certsd_identity_accepted_timestamp_seconds{host=%q,identity=%q} `, u.host, id.Name)
		if value := valueOf(metrics, series); (id.Accepted != nil) != (value != 0) || id.Accepted != nil && value != float64(id.Accepted.Unix()) {
			t.Errorf("%s%v, and %v as JSON", series, value, id.Accepted)
		}
		item := regexp.MustCompile(`(?s)<li data-identity="` + regexp.QuoteMeta(id.Name) + `".*?</li>`).FindString(article)
		if !strings.Contains(item, id.Serial) || strings.Contains(item, "✓ accepted") != (id.Accepted != nil) || !strings.Contains(item, "last answer "+id.Answer.Result) {
			t.Errorf("%+v on the page: %s", id, item)
		}
		row := regexp.MustCompile(`(?m)^.*serial ` + id.Serial + `.*$`).FindString(table.String())
		if strings.Contains(row, "accepted") != (id.Accepted != nil) || !strings.Contains(row, id.Answer.Result) {
			t.Errorf("%+v in the table: %s", id, row)
		}
	}
	for _, s := range st.Servers {
		if s.Host != u.host {
			continue
		}
		for series, want := range map[string]int64{
			fmt.Sprintf(`certsd_server_expiry_timestamp_seconds{host=%q} `, s.Host):                   s.Certificate.NotAfter.Unix(),
			fmt.Sprintf(`certsd_ca_expiry_timestamp_seconds{ca="ca.crt",host=%q} `, s.Host):           s.CA.NotAfter.Unix(),
			fmt.Sprintf(`certsd_requests_total{host=%q,identity="alpha.cert",result="403"} `, s.Host): int64(s.Refusals["403"]),
		} {
			if value := valueOf(metrics, series); value != float64(want) {
				t.Errorf("%s%v, and %d as JSON", series, value, want)
			}
		}
	}
	if !strings.Contains(article, "bravo.cert was accepted") || !strings.Contains(table.String(), "repository team/app: bravo.cert was accepted") || reg.Repositories[0].Accepted.Identity != "bravo.cert" {
		t.Errorf("the repository: %+v\n%s\n%s", reg.Repositories, article, &table)
	}
}

// valueOf is the value of a series, zero where there is none.
func valueOf(metrics, series string) (value float64) {
	_, rest, found := strings.Cut(metrics, "\n"+series)
	if found {
		_, _ = fmt.Sscan(rest, &value)
	}
	return value
}
