package statuspage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statuspage"
)

var now = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

// named has all names of others replaced by one.
func named(name string) *status.Status {
	at := now.Add(-time.Minute)
	cert := &status.Certificate{Subject: name, Issuer: name, Serial: "0A", NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, 3)}
	return &status.Status{
		Schema: 1, Daemon: status.Gateway, Version: name, Containerd: name, Since: at, Now: now, Roots: []string{name},
		Proxy: map[string]string{"HTTPS_PROXY": name}, Idle: []string{name},
		Needs: []status.Need{{Code: status.NeedRefused, Registry: name, What: name, Next: name}},
		Registries: []status.Registry{{
			Name: name, Directory: name, Error: name, Memory: &status.Memory{Since: at, Cause: name},
			Endpoints: []status.Endpoint{{URL: name, Host: name, Proxy: name, Identities: []status.Identity{{
				Name: name, File: name, Why: name, Certificate: cert, Answer: &status.Answer{Result: name, At: at}, Accepted: &at,
			}}}},
			Repositories: []status.Repository{{Name: name, Host: name, Accepted: &status.Accepted{Identity: name, At: at}, Refused: &status.Refused{At: at, Answers: []string{name}, Result: name}}},
		}},
		Servers: []status.Server{{Host: name, Seen: &at, Certificate: cert, CA: cert, Refusals: map[string]int{name: 1}}},
		Resting: []status.Resting{{Endpoint: name, Since: at, Until: now, Cause: name}},
		Work:    []status.Work{{Kind: name, Ref: name, Digest: name, Since: at, Bytes: 1, Total: 2}},
		Secret:  &status.Secret{Changed: &at}, Store: &status.Usage{Used: 1, Limit: 2}, Spool: &status.Usage{Used: 1, Limit: 2},
	}
}

func render(tb testing.TB, st *status.Status, query, page string) string {
	tb.Helper()
	var out bytes.Buffer
	if err := statuspage.Render(&out, st, query, page); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

// shape is the page's elements and the names of their attributes, without any text.
func shape(tb testing.TB, text string) string {
	tb.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	var b strings.Builder
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		b.WriteString("<" + n.Data)
		for _, a := range n.Attr {
			b.WriteString(" " + a.Key)
		}
		b.WriteString(">")
	}
	return b.String()
}

// hostile are names as somebody who means harm would choose them.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, "\x1b[2J\x1b]0;owned\a",
	"a\u202egnp.exe", "</svg><style>*{display:none}</style>", "{{.Secret}}", "a\"b\\c\nd", "<!--", "]]>", strings.Repeat("x", 5000), "\xff\xfe",
}

// inert holds page, table and JSON of a name to those of a harmless one.
func inert(tb testing.TB, name string) {
	tb.Helper()
	st := named(name)
	w := httptest.NewRecorder()
	(&statuspage.Handler{Snapshot: func() *status.Status { return st }}).ServeHTTP(w, httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "http://127.0.0.1/status.json", nil))
	var read status.Status
	if err := json.Unmarshal(w.Body.Bytes(), &read); err != nil || w.Header().Get("Content-Type") != "application/json" || len(read.Registries) != 1 {
		tb.Errorf("%q makes %d of %s: %v", name, w.Code, w.Body, err)
	}
	if strings.ContainsAny(w.Body.String(), "<>&") {
		tb.Errorf("%q puts HTML into the JSON: %s", name, w.Body)
	}
	var table strings.Builder
	if err := status.Tell(&table, []*status.Status{st}, status.DefaultColumns); err != nil {
		tb.Fatal(err)
	}
	page := render(tb, st, "", "")
	for what, text := range map[string]string{"page": page, "table": table.String(), "JSON": w.Body.String(), "page of a search": render(tb, st, name, name)} {
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				tb.Errorf("%q puts %U into the %s", name, r, what)
			}
		}
	}
	if safetext.Line(name, 0) == "" {
		return // what prints nothing is left out
	}
	if want, got := shape(tb, render(tb, named("harmless"), "", "")), shape(tb, page); want != got {
		tb.Errorf("%q changes the page:\n%s\nis not\n%s", name, got, want)
	}
}

func TestHostileNamesAreInert(t *testing.T) {
	t.Parallel()
	for _, name := range hostile {
		inert(t, name)
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { inert(t, name) })
}

func TestPageIsWholeWithoutAScript(t *testing.T) {
	t.Parallel()
	text := render(t, named("registry.test"), "", "")
	for _, want := range []string{
		"<title>(1) certsd gateway: what is in use</title>", "1 thing needs a person", "What ends next", `<desc id="ends-text">client registry.test expires in 3 days`,
		"From memory, because the files are broken since", "✓ accepted 60 seconds ago", "refused 60 seconds ago (registry.test)",
		"registry.test: 1 × registry.test", `<progress value="1" max="2"`, `<meter value="1" max="2"`, "<dt>secret</dt><dd>60 seconds old",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, "style=") || strings.Contains(text, "<script>") || strings.Contains(text, "ZgotmplZ") {
		t.Errorf("something that the policy forbids:\n%s", text)
	}
}

func TestEmptyPageSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for want, st := range map[string]*status.Status{
		"no registry has a directory below /etc/docker/certs.d: make one named after a registry": {Daemon: status.Gateway, Roots: []string{"/etc/docker/certs.d"}},
		"These have a directory: registry.test. Pull an image, or look with certsd check":        {Daemon: status.Gateway, Idle: []string{"registry.test"}},
	} {
		if text := render(t, st, "", ""); !strings.Contains(text, want) || !strings.Contains(text, "Nothing needs a person") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// TestWhatEndsNextComesFirst: clients, servers and CAs in one picture, each once however
// many registries share its files, and the next twelve of all.
func TestWhatEndsNextComesFirst(t *testing.T) {
	t.Parallel()
	st := &status.Status{Daemon: status.Gateway, Now: now}
	cert := func(name string, days int) *status.Certificate {
		return &status.Certificate{Subject: "CN=" + name, Issuer: "CN=issuer", Serial: name, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
	}
	for i := range 20 {
		var ids []status.Identity
		for _, days := range []int{300, 40 + i, 2} {
			file := fmt.Sprintf("/certs.d/%d.cert", days)
			ids = append(ids, status.Identity{Name: filepath.Base(file), File: file, Certificate: cert(strconv.Itoa(days), days), Presented: true})
		}
		host := fmt.Sprintf("registry%02d.test", i)
		st.Registries = append(st.Registries, status.Registry{Name: host, Endpoints: []status.Endpoint{{URL: "https://" + host + "/v2", Host: host, Identities: ids}}})
		st.Servers = append(st.Servers, status.Server{Host: host, Certificate: cert("server"+host, 100+i), CA: cert("root", 3)})
	}
	text := render(t, st, "", "")
	_, list, _ := strings.Cut(text, `<ol class="ends">`)
	list, _, _ = strings.Cut(list, "</ol>")
	var got []string
	for _, m := range regexp.MustCompile(`<li[^>]*><span>(\w+)</span> (\S+?): expires in (\d+) days`).FindAllStringSubmatch(list, -1) {
		got = append(got, strings.Join(m[1:], " "))
	}
	want := []string{"client /certs.d/2.cert 2", "CA CN=root 3"}
	for i := range 10 {
		want = append(want, fmt.Sprintf("client /certs.d/%d.cert %d", 40+i, 40+i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// 300, 10 of 40 to 59, and 20 servers.
	if !strings.Contains(text, "<p>31 more end later.</p>") {
		t.Errorf("how many more? %s", text)
	}
	if n := strings.Count(text, `class="client soon"`) + strings.Count(text, `class="CA soon"`); n != 2 {
		t.Errorf("%d bars are of what ends soon", n)
	}
}

// TestARegistryIsWhole: who, until when, and what became of it.
func TestARegistryIsWhole(t *testing.T) {
	t.Parallel()
	text := render(t, example(), "", "")
	_, article, _ := strings.Cut(text, `<article data-registry="registry.test">`)
	article, _, _ = strings.Cut(article, "</article>")
	words := strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(article, " ")), " ")
	const want = "registry.test /certs.d/registry.test https://registry.test/v2 through proxy http://proxy.test:3128 " +
		"alpha.cert CN=alpha serial 0A expires in 40 days, on 2027-01-06 last answer 403, 3 minutes ago " +
		"bravo.cert CN=bravo serial 0B expires in 50 days, on 2027-01-16 last answer 200, 2 minutes ago ✓ accepted 2 minutes ago " +
		"old.cert CN=old serial 0C has expired on 2026-11-25 not presented: expired on 2026-11-25 " +
		"torn.cert not presented: no PEM " +
		"server: expires in 90 days, on 2027-02-25; CA CN=servers expires in 900 days, on 2029-05-15 " +
		"2 repositories team/app: ✓ bravo.cert was accepted 2 minutes ago team/secret: refused 3 minutes ago (alpha.cert: 403, bravo.cert: 403)"
	if diff := cmp.Diff(strings.Split(want, " "), strings.Split(words, " ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// example is a registry with one of everything.
func example() *status.Status {
	before := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	cert := func(name, serial string, days int) *status.Certificate {
		return &status.Certificate{Subject: "CN=" + name, Issuer: "CN=clients", Serial: serial, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, days)}
	}
	refused := &status.Refused{At: *before(3 * time.Minute), Answers: []string{"alpha.cert: 403", "bravo.cert: 403"}, Result: "403"}
	return &status.Status{
		Daemon: status.Gateway, Now: now,
		Registries: []status.Registry{{
			Name: "registry.test", Directory: "/certs.d/registry.test",
			Endpoints: []status.Endpoint{{
				URL: "https://registry.test/v2", Host: "registry.test", Proxy: "http://proxy.test:3128",
				Identities: []status.Identity{
					{Name: "alpha.cert", File: "/certs.d/registry.test/alpha.cert", Certificate: cert("alpha", "0A", 40), Presented: true, Answer: &status.Answer{Result: "403", At: *before(3 * time.Minute)}},
					{Name: "bravo.cert", File: "/certs.d/registry.test/bravo.cert", Certificate: cert("bravo", "0B", 50), Presented: true, Answer: &status.Answer{Result: "200", At: *before(2 * time.Minute)}, Accepted: before(2 * time.Minute)},
					{Name: "old.cert", File: "/certs.d/registry.test/old.cert", Certificate: cert("old", "0C", -2), Why: "expired on 2026-11-25"},
					{Name: "torn.cert", File: "/certs.d/registry.test/torn.cert", Why: "no PEM"},
				},
			}},
			Repositories: []status.Repository{
				{Name: "team/app", Host: "registry.test", Accepted: &status.Accepted{Identity: "bravo.cert", Serial: "0B", At: *before(2 * time.Minute)}},
				{Name: "team/secret", Host: "registry.test", Refused: refused},
			},
		}},
		Servers: []status.Server{{Host: "registry.test", Certificate: cert("registry.test", "0D", 90), CA: cert("servers", "0E", 900)}},
	}
}

func TestManyRegistriesHavePages(t *testing.T) {
	t.Parallel()
	st := &status.Status{Daemon: status.Gateway, Needs: []status.Need{{Registry: "registry099.test", What: "broken"}}}
	for i := range 120 {
		st.Registries = append(st.Registries, status.Registry{Name: fmt.Sprintf("registry%03d.test", i), Directory: "/x"})
	}
	for _, tt := range []struct {
		query, page, first, words string
		n                         int
	}{
		{"", "", "registry099.test", "120 of 120, page 1 of 3", 50},
		{"", "3", "registry100.test", "page 3 of 3", 20},
		{"", "99", "registry100.test", "page 3 of 3", 20},
		{"", "-1", "registry099.test", "page 1 of 3", 50},
		{"REGISTRY01", "", "registry010.test", "10 of 120", 10},
		{"none", "", "", "0 of 120", 0},
	} {
		text := render(t, st, tt.query, tt.page)
		_, rest, _ := strings.Cut(text, `<article data-registry="`)
		first, _, _ := strings.Cut(rest, `"`)
		if n := strings.Count(text, "<article"); n != tt.n || tt.n > 0 && first != tt.first || !strings.Contains(text, tt.words) {
			t.Errorf("%q, page %q: %d from %s, no %q", tt.query, tt.page, n, first, tt.words)
		}
	}
}

func TestEverythingIsProtected(t *testing.T) {
	t.Parallel()
	h := &statuspage.Handler{Snapshot: func() *status.Status { return named("registry.test") }}
	for _, tt := range []struct {
		method, path, kind string
		want               int
	}{
		{"GET", "/status", "text/html; charset=utf-8", 200},
		{"GET", "/status.json", "application/json", 200},
		{"GET", "/status.js", "text/javascript; charset=utf-8", 200},
		{"GET", "/status.css", "text/css; charset=utf-8", 200},
		{"POST", "/status", "text/plain; charset=utf-8", 405},
		{"GET", "/status/", "text/plain; charset=utf-8", 404},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, "http://127.0.0.1"+tt.path, nil))
		if w.Code != tt.want || w.Header().Get("Content-Type") != tt.kind {
			t.Errorf("%s: %d %s", tt.path, w.Code, w.Header().Get("Content-Type"))
		}
		for _, name := range []string{"Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Cross-Origin-Resource-Policy"} {
			if w.Header().Get(name) == "" {
				t.Errorf("%s: no %s", tt.path, name)
			}
		}
	}
}

func TestKnownNames(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost:1": true, "127.0.0.1": true, "[::1]:99": true, "192.0.2.1:9": true, "node-1": true, "NODE-1:90": true, "evil.example": false, "127.0.0.1.evil.example": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/status", nil)
		if got := statuspage.KnowsName(r, "node-1"); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}
