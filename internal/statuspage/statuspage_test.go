package statuspage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

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
