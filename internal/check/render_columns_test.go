package check

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/pemfile"
)

// table is a report as it is printed.
func table(t *testing.T, r *Report, options Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteTable(&b, r, options); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Whatever the terminal's width, each word is whole, and a line is longer only
// if a word is.
func TestNarrowTables(t *testing.T) {
	t.Parallel()
	host, root := server{auth: tls.RequestClientCert, handle: only("alpha")}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha, "bravo": stranger, "host.toml": ""}))
	report := &Report{Version: Version, Registries: []*Registry{run1(t, &Checker{}, root, host+"/team/app:1.2")}}
	report.Registries[0].Ways = []Way{
		{Way: WayCtr, By: byCertsd, Verdict: Works, Reason: "a pull would work"},
		{Way: WayCRI, By: byContainerd, Verdict: Refused, Reason: strings.Repeat("a long reason, ", 9)},
	}
	wide := strings.Fields(table(t, report, Table{Columns: 1000}))
	for _, columns := range []int{0, 40, 60, 80, 120, 200} {
		text := table(t, report, Table{Columns: columns})
		words := strings.Fields(strings.ReplaceAll(text, " \\\n", "\n"))
		for _, word := range wide {
			// Titles are left out where there are no columns.
			if word != strings.ToUpper(word) && !slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) }) {
				t.Errorf("%d columns: %q is not there whole", columns, word)
			}
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if n := utf8.RuneCountInString(line); n > max(columns, 40) && columns > 0 && len(strings.Fields(line)) > 2 || columns == 0 && n > 80 && len(strings.Fields(line)) > 2 {
				t.Errorf("%d columns: %d in %q", columns, n, line)
			}
		}
	}
}

func TestAbsentComesLast(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, files{"_default/ca": serverCA})
	c := &Checker{Offline: true, Roots: certsd.Roots{filepath.Join(root, "none"), root}}
	r, err := c.Registry(t.Context(), "reg.test:5000")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(table(t, &Report{Registries: []*Registry{r}}, Table{Columns: 300}), "in order\n")
	text, _, _ = strings.Cut(text, "\n\n")
	var states []string
	for line := range strings.Lines(text) {
		states = append(states, strings.Fields(line)[1])
	}
	if want := slices.Concat([]string{"searched", "used"}, slices.Repeat([]string{"absent"}, len(states)-2)); len(states) < 5 || !slices.Equal(states, want) {
		t.Errorf("%q", states)
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, files{"a.test/ca": serverCA, "a.test/alpha": alpha, "b.test_5000_/alpha.cert": alpha.CertPEM, "c.test/host.toml": "", "c.test/ca": serverCA})
	report, err := (&Checker{Roots: certsd.Roots{root}, Offline: true}).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := table(t, report, Table{Overview: true})
	top, _, _ := strings.Cut(text, "\n\n")
	if diff := cmp.Diff(`3 registries: 2 unasked, 1 unusable
  REGISTRY     VERDICT   FIRST TO END  FINDINGS
  a.test       unasked   in 23 hours   none
  b.test:5000  unusable  in 23 hours   key-missing
  c.test       unasked   in 23 hours   file-name`, top); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if one := table(t, report, Table{}); strings.Contains(one, "FIRST TO END") {
		t.Errorf("an overview nobody asked for:\n%s", one)
	}
}

// A command that is a next step is printed so that it can be copied.
func TestNextSteps(t *testing.T) {
	t.Parallel()
	long := "/etc/" + strings.Repeat("long/", 9) + "client.key"
	for _, tt := range []struct{ next, want string }{
		{"renew it", "      -> renew it\n"},
		{"decrypt it: openssl pkey -in a -out a", "      -> decrypt it: openssl pkey -in a -out a\n"},
		{
			"decrypt it: openssl pkey -in " + long + " -out " + long,
			"      -> decrypt it:\n         openssl pkey -in \\\n           " + long + " -out \\\n           " + long + "\n",
		},
		{
			"convert it: gzip -dc <" + long + " >" + long + ".new && mv " + long + ".new " + long,
			"      -> convert it:\n         gzip -dc \\\n           <" + long + " \\\n           >" + long + ".new \\\n           && mv \\\n           " + long + ".new \\\n           " + long + "\n",
		},
		{
			"append it: cat '/etc/a place/the CA of it.crt' >> " + long,
			"      -> append it:\n         cat '/etc/a place/the CA of it.crt' >> \\\n           " + long + "\n",
		},
		{
			"name a repository to find out: certsd check registry.example.test:5000/REPOSITORY",
			"      -> name a repository to find out:\n         certsd check registry.example.test:5000/REPOSITORY\n",
		},
		{
			"it is a long sentence: certsd is a word in it, and it goes on for longer than this",
			"      -> it is a long sentence: certsd is a word in it, and it goes on for\n         longer than this\n",
		},
	} {
		var b bytes.Buffer
		(&printer{w: &b, columns: 80}).next(tt.next)
		if diff := cmp.Diff(tt.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.next, diff)
		}
	}
}

// No list of the JSON is null or left out, however empty a report is.
func TestListsOfJSON(t *testing.T) {
	t.Parallel()
	report := &Report{Registries: []*Registry{{
		Directories: []Directory{{Files: []File{{}}}},
		Endpoints:   []*Endpoint{{Live: &Live{TLS: &TLS{Chain: []Certificate{{}}}, Answers: []Answer{{}}}}},
		Pull:        &Pull{},
	}}}
	for _, r := range []*Report{{}, {Registries: []*Registry{{}}}, report} {
		var b bytes.Buffer
		if err := WriteJSON(&b, r); err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		wantLists(t, "report", reflect.TypeFor[Report](), got)
	}
	if report.Registries[0].Findings != nil {
		t.Error("writing changed the report")
	}
}

// wantLists looks for the lists of a type in JSON.
func wantLists(t *testing.T, path string, typ reflect.Type, got any) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer:
		if got != nil {
			wantLists(t, path, typ.Elem(), got)
		}
	case reflect.Slice:
		list, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %v, not a list", path, got)
		}
		for _, item := range list {
			wantLists(t, path+"[]", typ.Elem(), item)
		}
	case reflect.Struct:
		object, _ := got.(map[string]any)
		for _, field := range reflect.VisibleFields(typ) {
			if k := field.Type.Kind(); k == reflect.Slice || k == reflect.Pointer {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				wantLists(t, path+"."+name, field.Type, object[name])
			}
		}
	default:
	}
}

// Each command that makes a file of use out of another is one for the eyes of
// next, whatever the file has in it.
func TestConversionsCanBeCopied(t *testing.T) {
	t.Parallel()
	file := "/etc/containerd/certs.d/registry.example.test:5000/the client's own one.cert"
	for _, data := range []string{
		"\xff\xfe-\x00-\x00", "\xfe\xed\xfe\xed\x00", "\xce\xce\xce\xce\x00", "PuTTY-User-Key-File-3: ssh-rsa\n", "\x1f\x8b\x08", "LS0tLS1CRUdJTg==",
		`-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----`, string(alpha.Cert.Raw),
	} {
		_, said, found := strings.Cut(pemfile.Recognise([]byte(data)).For(file).Error(), ": convert it with ")
		if !found {
			t.Fatalf("%.20q: no command", data)
		}
		var b bytes.Buffer
		(&printer{w: &b, columns: 60}).next("convert it: " + said)
		_, printed, _ := strings.Cut(b.String(), "convert it:\n")
		// Outside of quotes a backslash and the line break after it are nothing to a shell.
		if got := strings.Join(slices.Collect(shellWords(printed)), " "); got != said {
			t.Errorf("printed as\n%swhich is\n%s\nwant\n%s", b.String(), got, said)
		}
	}
}

// A registry with a long name makes no line longer but its own.
func TestOverviewOfLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long-", 12) + "name.test:5000"
	var b bytes.Buffer
	p := &printer{w: &b, columns: 60}
	p.overview([]*Registry{{Registry: "a.test", Verdict: Works}, {Registry: long, Verdict: Refused}})
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 60 && !strings.Contains(line, long) {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	if !strings.Contains(b.String(), "  "+long+"  refused  ") {
		t.Errorf("%s", b.String())
	}
}

// A key that cannot be read is not told to be another's.
func TestKeysThatCannotBeCompared(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]any{"encrypted": encrypted(), "cut": string(alpha.KeyPEM[:60])} {
		root := t.TempDir()
		write(t, root, files{"a.test/alpha.cert": alpha.CertPEM, "a.test/alpha.key": key})
		c := &Checker{Offline: true, Roots: certsd.Roots{root}}
		r, err := c.Registry(t.Context(), "a.test")
		if err != nil {
			t.Fatal(err)
		}
		var lines bytes.Buffer
		if err := WriteLines(&lines, &Report{Registries: []*Registry{r}}); err != nil {
			t.Fatal(err)
		}
		text := table(t, &Report{Registries: []*Registry{r}}, Table{Columns: 300}) + lines.String()
		if strings.Count(text, "alpha.key cannot be compared") != 2 || strings.Contains(text, "is not its key") || strings.Contains(text, "does not match") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
