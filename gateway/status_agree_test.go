package gateway

import (
	"fmt"
	"html"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/telemetry"
	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
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

// TestTheAnswersAgree: what a person asks has the same answer as JSON, in the table, on
// the page and in the metrics. It runs alone: others have things under way, too.
func TestTheAnswersAgree(t *testing.T) { //nolint:paralleltest // see above
	u := newUpstream(t, nil)
	u.push(t, "team/app:1", 1)
	u.answers(func(w http.ResponseWriter, r *http.Request) bool {
		refused := strings.HasPrefix(r.URL.Path, "/v2/team/secret/")
		if refused {
			w.WriteHeader(http.StatusForbidden)
		}
		return refused
	})
	g := newGateway(t, observed, u)
	dir := filepath.Join(gatewayStatus(t, g).Roots[0], u.host)
	ends := time.Now().Add(3*24*time.Hour + time.Hour).Truncate(time.Second)
	must(t, u.clients.Issue(certtest.Request{CommonName: "ending", NotBefore: ends.AddDate(-1, 0, 0), NotAfter: ends}).Write(dir, "aending"))
	for repository, want := range map[string]int{"team/app": http.StatusOK, "team/secret": http.StatusForbidden} {
		if a := g.do(t, http.MethodGet, "/v2/"+u.host+"/"+repository+"/manifests/1"); a.status != want {
			t.Fatalf("%s: %d %s", repository, a.status, a.body)
		}
	}
	watch := telemetry.State().Begin(resolver.Work{Registry: u.host, Ref: u.host + "/old/app:1", Protocol: resolver.ProtocolSchema1})
	watch.Layer(v1compat.Progress{ID: "one", Offset: 1 << 20, Total: 2 << 20})
	watch.Layer(v1compat.Progress{ID: "two", Offset: 1 << 20, Total: 2 << 20, Done: true})
	telemetry.Built("v1.2.3", "")

	st := gatewayStatus(t, g)
	reg := find(t, st, u.host)
	page := html.UnescapeString(string(g.do(t, http.MethodGet, "/status?q="+strings.SplitN(u.host, ":", 2)[1]).body))
	metrics := string(g.do(t, http.MethodGet, "/metrics", tokenHeader, "").body)
	var table strings.Builder
	must(t, status.Tell(&table, []*status.Status{st}, 5000))
	everywhere := func(question, inTable, onPage string) {
		t.Helper()
		if !regexp.MustCompile(inTable).MatchString(table.String()) {
			t.Errorf("%s? No %s in the table:\n%s", question, inTable, &table)
		}
		if !regexp.MustCompile(onPage).MatchString(page) {
			t.Errorf("%s? No %s on the page:\n%s", question, onPage, page)
		}
	}
	same := func(question, series string, want int64) {
		t.Helper()
		if value := valueOf(metrics, series+" "); value != float64(want) {
			t.Errorf("%s? %s is %v, and %d as JSON", question, series, value, want)
		}
	}

	question := "which certificate does the registry get now"
	app, bravo := reg.Repositories[0], identityOf(t, reg, "bravo.cert")
	if app.Name != "team/app" || app.Accepted == nil || app.Accepted.Identity != "bravo.cert" || app.Accepted.Serial != bravo.Serial || bravo.Accepted == nil {
		t.Errorf("%s? %+v %+v", question, app, bravo)
	}
	everywhere(question, `repository team/app: bravo\.cert was accepted`, `(?s)<li data-repository="team/app">.{0,60}✓ bravo\.cert was accepted`)
	same(question, fmt.Sprintf("certsd_identity_accepted_timestamp_seconds{host=%q,identity=%q}", u.host, "bravo.cert"), bravo.Accepted.Unix())

	question = "why is the repository refused"
	secret := reg.Repositories[1]
	if secret.Name != "team/secret" || secret.Refused == nil || len(secret.Refused.Answers) != 3 {
		t.Fatalf("%s? %+v", question, secret)
	}
	answers := regexp.QuoteMeta(strings.Join(secret.Refused.Answers, ", "))
	everywhere(question, `repository team/secret: refused [^(]*\(`+answers+`\)`, `(?s)<li data-repository="team/secret">.{0,60}refused [^(]*\(`+answers+`\)`)
	everywhere(question, `(?s)^NEEDS A PERSON.*repository team/secret is refused since .*-> certsd check `+u.host+`/team/secret`, `<li data-code="refused">.*certsd check `+u.host+`/team/secret`)
	var refusals int64
	for _, id := range reg.Endpoints[0].Identities {
		refusals += int64(valueOf(metrics, fmt.Sprintf("certsd_requests_total{host=%q,identity=%q,result=%q} ", u.host, id.Name, "403")))
	}
	if s := serverOf(t, st, u.host); int64(s.Refusals["403"]) != refusals || refusals < 4 {
		t.Errorf("%s? %d refusals as JSON, %d in the metrics", question, s.Refusals["403"], refusals)
	}

	question = "what ends this month"
	ending := identityOf(t, reg, "aending.cert")
	if need := needOf(t, st, status.NeedExpires); !strings.HasPrefix(need.What, ending.File+" expires in 3 days, on ") || !ending.NotAfter.Equal(ends) {
		t.Errorf("%s? %+v %+v", question, need, ending)
	}
	everywhere(question, `(?s)^NEEDS A PERSON.*`+ending.File+` expires in 3 days`, `(?s)<section id="ends".*?`+ending.File+` expires in 3 days`)
	same(question, fmt.Sprintf("certsd_identity_expiry_timestamp_seconds{host=%q,identity=%q}", u.host, "aending.cert"), ends.Unix())

	question = "what is converting"
	if len(st.Work) != 1 || st.Work[0].Kind != resolver.ProtocolSchema1 || st.Work[0].Bytes != 2<<20 || st.Work[0].Total != 4<<20 || st.Work[0].Layers != 1 {
		t.Errorf("%s? %+v", question, st.Work)
	}
	everywhere(question, `under way: schema 1 of `+u.host+`/old/app:1, 1 of 2 layers, 2.0 MiB of 4.0 MiB`, `schema 1 of `+u.host+`/old/app:1, 1 of 2 layers, 2.0 MiB of 4.0 MiB\s*<progress value="2097152" max="4194304"`)
	same(question, `certsd_under_way{kind="schema 1"}`, 1)
	watch.End()
	if st := gatewayStatus(t, g); len(st.Work) != 0 {
		t.Errorf("it has ended: %+v", st.Work)
	}

	question = "which daemon is it"
	everywhere(question, `(?m)^certsd gateway v1\.2\.3`, `<p>v1\.2\.3, since`)
	same(question, `certsd_build_info{containerd="",version="v1.2.3"}`, 1)
}

func identityOf(t *testing.T, reg status.Registry, name string) status.Identity {
	t.Helper()
	return theOne(t, reg.Endpoints[0].Identities, func(id status.Identity) bool { return id.Name == name })
}

func serverOf(t *testing.T, st *status.Status, host string) status.Server {
	t.Helper()
	return theOne(t, st.Servers, func(s status.Server) bool { return s.Host == host })
}

func needOf(t *testing.T, st *status.Status, code string) status.Need {
	t.Helper()
	return theOne(t, st.Needs, func(n status.Need) bool { return n.Code == code })
}

// valueOf is the value of a series, zero where there is none.
func valueOf(metrics, series string) (value float64) {
	_, rest, found := strings.Cut(metrics, "\n"+series)
	if found {
		_, _ = fmt.Sscan(rest, &value)
	}
	return value
}
